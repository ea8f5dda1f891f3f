"""The keys that layers of OCI images and App Container images are encrypted to, in the words of skopeo.

``jwe:FILE`` is a public key in PEM, ``pgp:FILE`` an OpenPGP certificate, ``pgp:USER`` one in gpg's keyring.
A private key is a file, with a passphrase as ``FILE:pass=TEXT``, ``FILE:file=PATH``, ``FILE:fd=N`` or
``FILE:TEXT``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.errors import FormatError, ImageError, TrustError, UsageError
from pumice.formats import jwe
from pumice.image.regular_file import open_regular
from pumice.os_errors import read_user_file, suggest_path
from pumice.trust import gpg, gpg_decryption, openpgp
from pumice.trust.openpgp_decryption import process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

    from pumice.trust.openpgp import Certificate

_MAX_FILE = 1 << 20
_JWE, _PGP = "jwe", "pgp"
_SMALL = process.Limits(size=1 << 20, expansion=1, seconds=60)
"""The limits of an encrypted key in an annotation."""


class PublicKeys(msgspec.Struct, frozen=True):
    """Those who can decrypt: `layer_encryption.Recipients`."""

    pem: tuple[jwe.PublicKey, ...] = ()
    openpgp: tuple[Certificate, ...] = ()

    def encrypt_key(self, text: bytes) -> dict[str, Sequence[bytes]]:
        """Return encrypted copies of a short text by their scheme."""
        return {
            _JWE: [jwe.encrypt(text, self.pem)] if self.pem else [],
            _PGP: [encrypt_message(text, self.openpgp)] if self.openpgp else [],
        }


class PrivateKeys(msgspec.Struct, frozen=True):
    """The keys that decrypt: `layer_encryption.Decryptor`."""

    pem: tuple[jwe.PrivateKey, ...] = ()
    openpgp: process.Secrets = process.Secrets()

    def decrypt_key(self, scheme: str, data: bytes) -> bytes | None:
        """Return the text in an encrypted copy, None if no key decrypts it; raises FormatError."""
        if scheme == _JWE:
            for key in self.pem:
                if (text := jwe.decrypt(data, key)) is not None:
                    return text
        if scheme == _PGP and self.openpgp.keys:
            return _decrypt_message(data, self.openpgp)
        return None


def encrypt_message(text: bytes, certificates: Sequence[Certificate]) -> bytes:
    """Return a binary OpenPGP message; raises TrustError for a certificate that cannot encrypt."""
    import pysequoia

    recipients = [pysequoia.Cert.from_bytes(certificate.der) for certificate in certificates]
    try:
        return bytes(pysequoia.encrypt(text, recipients=recipients, armor=False))
    except Exception as error:
        raise _explain_encryption(error) from error


def encrypt_file(source: Path, target: Path, certificates: Sequence[Certificate], passphrase: str) -> None:
    """Write a file as a binary OpenPGP message for recipients and, unless it is empty, a passphrase.

    Raises TrustError for a certificate that cannot encrypt.
    """
    import pysequoia

    recipients = [pysequoia.Cert.from_bytes(certificate.der) for certificate in certificates]
    passwords = [passphrase] if passphrase else []
    try:
        pysequoia.encrypt_file(
            str(source), str(target), recipients=recipients, passwords=passwords, armor=False
        )
    except Exception as error:
        raise _explain_encryption(error) from error


def decrypt_file(source: Path, target: BinaryIO, secrets: process.Secrets, limits: process.Limits) -> None:
    """Write the content of an OpenPGP message to a file; raises FormatError, TrustError and ImageError."""
    message = open_regular(source)
    if message is None:
        raise ImageError("the file does not exist", where=str(source), hint=suggest_path(source))
    with message:
        try:
            process.decrypt_file(message.fileno(), target.fileno(), secrets, limits)
        except (FormatError, TrustError) as error:
            error.where = error.where or str(source)
            raise


def _explain_encryption(error: Exception) -> TrustError:
    reason = str(error).partition("\n")[0][:200]
    return TrustError(
        f"cannot encrypt to the OpenPGP key: {reason}", hint="use a key that has not expired and can encrypt"
    )


def _decrypt_message(data: bytes, secrets: process.Secrets) -> bytes | None:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(data)
        source.flush()
        try:
            process.decrypt_file(source.fileno(), target.fileno(), secrets, _SMALL)
        except TrustError:
            return None
        except FormatError:
            text = gpg_decryption.decrypt_message(data, secrets.keys, os.environ)
            if text is None:
                raise
            return text
        target.seek(0)
        return target.read()


# Reading keys -------------------------------------------------------------------------------------


def read_recipients(texts: Sequence[str], environ: Mapping[str, str]) -> PublicKeys:
    """Return the public keys that texts name; raises UsageError, FormatError and TrustError."""
    pem: list[jwe.PublicKey] = []
    certificates: list[Certificate] = []
    for text in texts:
        scheme, colon, name = text.partition(":")
        if not colon or not name or scheme not in (_JWE, _PGP):
            raise UsageError(
                f"{text[:100]!r} is not a key to encrypt to", hint="write jwe:FILE, pgp:FILE or pgp:USER"
            )
        if scheme == _JWE:
            pem.append(_read_public_pem(name))
        else:
            certificates.append(read_certificate(name, environ))
    return PublicKeys(tuple(pem), tuple(certificates))


def read_certificate(name: str, environ: Mapping[str, str]) -> Certificate:
    """Return the OpenPGP certificate in a file, or that of a user in gpg's keyring."""
    if Path(name).is_file():
        return openpgp.parse_certificate(_read_file(name))
    return gpg.export_certificate(environ, name)


def _read_public_pem(path: str) -> jwe.PublicKey:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

    data = _read_file(path)
    try:
        if b"-----BEGIN CERTIFICATE" in data:
            key: PublicKeyTypes = x509.load_pem_x509_certificate(data).public_key()
        else:
            key = load_pem_public_key(data) if b"-----BEGIN" in data else load_der_public_key(data)
    except Exception as error:
        raise FormatError("the file is not a public key", where=path[:200]) from error
    return jwe.check_public_key(key, path)


def read_decryptors(texts: Sequence[str]) -> PrivateKeys:
    """Return the private keys that texts name; raises UsageError, FormatError and TrustError."""
    pem: list[jwe.PrivateKey] = []
    secrets: list[tuple[bytes, str]] = []
    for text in texts:
        path, passphrase = _split_passphrase(text)
        data = _read_file(path)
        if openpgp.is_private(data):
            secrets.append((openpgp.dearmor_secret_key(data, path), passphrase))
        else:
            pem.append(_read_private_pem(data, path, passphrase))
    return PrivateKeys(tuple(pem), process.Secrets(tuple(secrets)))


def _read_private_pem(data: bytes, path: str, passphrase: str) -> jwe.PrivateKey:
    from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

    load = load_pem_private_key if b"-----BEGIN" in data else load_der_private_key
    try:
        key: PrivateKeyTypes = load(data, passphrase.encode() or None)
    except TypeError:
        reason = "the key has no passphrase" if passphrase else "the key needs a passphrase"
        raise TrustError(reason, where=path[:200], hint="write FILE:file=PATH for one in a file") from None
    except Exception as error:
        raise FormatError(
            "the file is not a private key, or its passphrase is wrong", where=path[:200]
        ) from error
    return jwe.check_private_key(key, path)


def _split_passphrase(text: str) -> tuple[str, str]:
    """Return the file of a key and its passphrase, "" for none; raises UsageError and FormatError."""
    if Path(text).is_file():
        return text, ""
    path, colon, rest = text.partition(":")
    kind, equals, value = rest.partition("=")
    if not colon:
        return text, ""
    if equals and kind == "pass":
        return path, value
    if equals and kind == "file":
        return path, _read_file(value).decode("utf-8", "replace").rstrip("\r\n")
    if equals and kind == "fd" and value.isascii() and value.isdigit():
        try:
            return path, os.read(int(value), 4096).decode("utf-8", "replace").rstrip("\r\n")
        except OSError as error:
            raise UsageError(f"cannot read a passphrase from descriptor {value}: {error.strerror}") from None
    return path, rest


def _read_file(path: str) -> bytes:
    return read_user_file(path, "key", _MAX_FILE)
