"""Generating, reading and using keys. Only this module handles unencrypted private keys.

Signatures are compatible with sigstore: ECDSA over SHA-256 in DER, Ed25519, and RSA with PKCS#1 1.5.
ECDSA nonces are deterministic (RFC 6979): the same key and bytes give the same signature, and a bad
source of randomness cannot leak the key.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pumice import digest, files
from pumice.errors import FormatError, StoreError, TrustError, UsageError
from pumice.os_errors import read_user_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GENERATED_KINDS = ("ecdsa-p256", "ed25519")
"""The kinds that `generate_key` supports."""

PASSPHRASE = "PUMICE_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable
_MAX_FILE = 1 << 16
_MIN_RSA, _MAX_RSA = 2048, 16384
SUPPORTED = "ECDSA on P-256, P-384 and P-521, Ed25519, and RSA of 2048 bits or more"
_OPENSSH = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_CURVES = {"secp256r1": "ecdsa-p256", "secp384r1": "ecdsa-p384", "secp521r1": "ecdsa-p521"}


class PublicKey(msgspec.Struct, frozen=True):
    """A public key; ``der`` is its SubjectPublicKeyInfo, whose SHA-256 is the fingerprint."""

    der: bytes
    kind: str

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits, the key hint of cosign's bundles."""
        return digest.hex_of(digest.of(self.der))

    def pem(self) -> bytes:
        """Return the key as PEM."""
        import base64

        body = base64.b64encode(self.der)
        lines = [body[start : start + 64] for start in range(0, len(body), 64)]
        return b"\n".join([b"-----BEGIN PUBLIC KEY-----", *lines, b"-----END PUBLIC KEY-----", b""])


class PrivateKey:
    """A decrypted private key; its representation has only the fingerprint."""

    def __init__(self, key: Any) -> None:
        self._key = key
        self.public_key = _public_key_of(key.public_key())

    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data``; the same data gives the same signature."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding

        if self.public_key.kind == "ed25519":
            return bytes(self._key.sign(data))
        if self.public_key.kind == "rsa":
            return bytes(self._key.sign(data, padding.PKCS1v15(), hashes.SHA256()))
        return bytes(self._key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))

    def der(self) -> bytes:
        """Return the unencrypted PKCS#8, to be encrypted."""
        from cryptography.hazmat.primitives import serialization as s

        return bytes(self._key.private_bytes(s.Encoding.DER, s.PrivateFormat.PKCS8, s.NoEncryption()))

    def __repr__(self) -> str:
        return f"<private key {self.public_key.fingerprint}>"


def generate_key(kind: str = "ecdsa-p256") -> PrivateKey:
    """Return a new key of a kind in `GENERATED_KINDS`; raises UsageError."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if kind == "ed25519":
        return PrivateKey(ed25519.Ed25519PrivateKey.generate())
    if kind == "ecdsa-p256":
        return PrivateKey(ec.generate_private_key(ec.SECP256R1()))
    raise UsageError(f"unknown key type {kind[:40]!r}", hint="use one of " + ", ".join(GENERATED_KINDS))


def encrypt_private_key(key: PrivateKey, passphrase: bytes) -> bytes:
    """Return the content of an encrypted private key file, as cosign reads it."""
    from pumice.formats import cosignkey

    return cosignkey.encrypt_key(key.der(), passphrase, salt=os.urandom(32), nonce=os.urandom(24))


def write_pair(base: Path, key: PrivateKey, passphrase: bytes) -> tuple[Path, Path]:
    """Write ``BASE.key`` (for its owner only) and ``BASE.pub``; raises StoreError if either exists."""
    private, public = Path(f"{base}.key"), Path(f"{base}.pub")
    for path in (private, public):
        if os.path.lexists(path):
            raise StoreError("the file exists", where=str(path), hint="choose another name")
    files.replace(private, encrypt_private_key(key, passphrase), mode=0o600)
    files.replace(public, key.public_key.pem(), mode=0o644)
    return private, public


def read_private_key(path: Path, passphrase: Callable[[], bytes]) -> PrivateKey:
    """Return the private key in a file; ``passphrase`` is called only if the key is encrypted.

    Reads cosign's encrypted files and PEM of PKCS#8, SEC 1 or PKCS#1. Raises TrustError for a wrong
    passphrase, FormatError for a file that is not a supported private key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    from pumice.formats import cosignkey

    data = read_key_file(path)
    if _OPENSSH in data:
        raise FormatError(
            "cannot read an OpenSSH private key",
            where=str(path),
            hint="convert a copy of it to PKCS#8: ssh-keygen -p -m pkcs8 -f COPY",
        )
    reject_public_key(data, path)
    if b"PRIVATE KEY-----" not in data:
        raise FormatError("the file is not a private key", where=str(path), hint=_PRIVATE_KEY_HINT)
    try:
        if cosignkey.is_encrypted(data):
            opened = serialization.load_der_private_key(cosignkey.decrypt_key(data, passphrase()), None)
        elif b"ENCRYPTED" in data:
            opened = serialization.load_pem_private_key(data, passphrase())
        else:
            opened = serialization.load_pem_private_key(data, None)
        return PrivateKey(opened)
    except (TrustError, FormatError) as error:
        raise type(error)(error.message, where=error.where or str(path), hint=error.hint) from None
    except UsageError:
        raise
    except UnsupportedAlgorithm:
        raise _unsupported_key_error(str(path)) from None
    except Exception as error:
        if "password" in str(error).lower():
            raise TrustError("wrong passphrase", where=str(path)) from error
        raise FormatError("the private key is malformed", where=str(path)) from error


def reject_public_key(data: bytes, path: Path) -> None:
    """Raise FormatError if ``data``, the content of ``path``, is a public key."""
    if b"PUBLIC KEY-----" in data and b"PRIVATE KEY-----" not in data:
        raise FormatError("the file is a public key", where=str(path), hint=_PRIVATE_KEY_HINT)


_PRIVATE_KEY_HINT = "use the private key, a file NAME.key"


def parse_pem_public_key(data: bytes) -> PublicKey:
    """Return the public key in PEM data; text around it, such as a comment, is skipped.

    Raises FormatError if there is not exactly one key, or if its kind is not `SUPPORTED`.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    if b"PRIVATE KEY-----" in data:
        raise FormatError("the file is a private key", hint="use the public key, a file NAME.pub")
    if data.count(b"-----BEGIN PUBLIC KEY-----") != 1:
        raise FormatError("expected one public key in PEM", hint="it begins with -----BEGIN PUBLIC KEY-----")
    start = data.index(b"-----BEGIN PUBLIC KEY-----")
    try:
        key = serialization.load_pem_public_key(data[start:])
    except UnsupportedAlgorithm:
        raise _unsupported_key_error() from None
    except Exception as error:
        raise FormatError("the public key is malformed") from error
    return _public_key_of(key)


def verify_signature(key: PublicKey, signature: bytes, data: bytes) -> bool:
    """Return whether ``signature`` is a valid signature of ``data`` by ``key``."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding

    if key.kind in ("openpgp", "identity"):  # verified by archive_signatures and keyless
        return False
    public: Any = serialization.load_der_public_key(key.der)
    candidates: list[tuple[Any, ...]]
    if key.kind == "ed25519":
        candidates = [()]
    elif key.kind == "rsa":
        candidates = [(padding.PKCS1v15(), hashes.SHA256())]
    elif key.kind == "ecdsa-p384":  # cosign always uses SHA-256, sigstore the hash of the curve
        candidates = [(ec.ECDSA(hashes.SHA256()),), (ec.ECDSA(hashes.SHA384()),)]
    elif key.kind == "ecdsa-p521":
        candidates = [(ec.ECDSA(hashes.SHA256()),), (ec.ECDSA(hashes.SHA512()),)]
    else:
        candidates = [(ec.ECDSA(hashes.SHA256()),)]
    for parameters in candidates:
        try:
            public.verify(signature, data, *parameters)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            continue
        return True
    return False


def passphrase_source(
    environ: Mapping[str, str], file: Path | None, ask: Callable[[], str] | None
) -> Callable[[], bytes]:
    """Return the function that reads the passphrase from ``file``, the environment or ``ask``.

    ``ask`` is None without a terminal. A final line feed in the file is removed. The returned function
    raises UsageError if there is no passphrase.
    """

    def get() -> bytes:
        if file is not None:
            data = read_user_file(file, "passphrase file", _MAX_FILE, TrustError)
            return data.removesuffix(b"\n").removesuffix(b"\r")
        if PASSPHRASE in environ:
            return os.fsencode(environ[PASSPHRASE])
        if ask is not None:
            return ask().encode()
        raise UsageError(
            "cannot ask for the key's passphrase: there is no terminal",
            hint=f"pass --passphrase-file FILE, or set {PASSPHRASE}",
        )

    return get


def _public_key_of(key: Any) -> PublicKey:
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    kind = ""
    if isinstance(key, ed25519.Ed25519PublicKey):
        kind = "ed25519"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        kind = _CURVES.get(key.curve.name, "")
    elif isinstance(key, rsa.RSAPublicKey) and _MIN_RSA <= key.key_size <= _MAX_RSA:
        kind = "rsa"
    if not kind:
        raise _unsupported_key_error()
    return PublicKey(key.public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo), kind)


def _unsupported_key_error(where: str | None = None) -> FormatError:
    return FormatError("unsupported key type", where=where, hint=f"use {SUPPORTED}")


def read_key_file(path: Path) -> bytes:
    """Return the content of a key file of at most 64 KiB; raises TrustError, FormatError."""
    return read_user_file(path, "key", _MAX_FILE, TrustError)
