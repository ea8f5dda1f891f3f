"""OpenPGP keys: generating, reading and writing them, in gpg's formats.

A certificate can be trusted like any public key. Its fingerprint is that of its primary key (40
hexadecimal digits, or 64 in version 6), also for signatures by its subkeys.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pumice import files
from pumice.errors import FormatError, StoreError, TrustError, UsageError
from pumice.formats import openpgp, openpgpkey
from pumice.trust.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pysequoia import PySigner, Tsk

KIND = "openpgp"
MAX_FILE = 1 << 20
"""Bytes of a key file, which may contain certifications by others."""

_PUBLIC = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_PRIVATE = b"-----BEGIN PGP PRIVATE KEY BLOCK-----"
_MAX_USER_ID = 200


class Certificate(PublicKey, frozen=True):
    """An OpenPGP certificate; ``der`` is its binary form, ``user_id`` the first, unverified user ID."""

    primary: str = ""
    user_id: str = ""

    @property
    def fingerprint(self) -> str:
        """The primary key's fingerprint, in lower-case hexadecimal."""
        return self.primary

    def pem(self) -> bytes:
        """Return the armored certificate."""
        import pysequoia

        return pysequoia.armor(self.der, pysequoia.ArmorKind.PublicKey).encode()


def make_keyring(certificates: Sequence[Certificate]) -> openpgp.Keyring:
    """Return a keyring that verifies signatures by the certificates."""
    from pysequoia import Cert

    return openpgp.Keyring(b"", [Cert.from_bytes(certificate.der) for certificate in certificates])


def is_public(data: bytes) -> bool:
    """Return whether data looks like an OpenPGP certificate."""
    return _PUBLIC in data or openpgpkey.read_packet_tag(data) == openpgpkey.PUBLIC


def is_private(data: bytes) -> bool:
    """Return whether data looks like an OpenPGP secret key."""
    return _PRIVATE in data or openpgpkey.read_packet_tag(data) == openpgpkey.SECRET


def read_if_openpgp(path: Path) -> bytes | None:
    """Return a file's content if it looks like an OpenPGP key, else None, also if it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError:
        return None
    if not is_public(data) and not is_private(data):
        return None
    if len(data) > MAX_FILE:
        raise FormatError("the file is not a key: larger than 1 MiB", where=str(path))
    return data


def read_secret_key(path: Path) -> bytes:
    """Return the content of a secret key file; raises FormatError."""
    data = read_if_openpgp(path)
    if data is None or not is_private(data):
        raise FormatError(
            "the file is a public key" if data else "the file is not an OpenPGP key",
            where=str(path),
            hint="use the secret key",
        )
    return data


def dearmor_secret_key(data: bytes, where: str) -> bytes:
    """Return a secret key in binary; raises FormatError."""
    from pysequoia import Tsk

    try:
        return bytes(Tsk.from_bytes(data[max(0, data.find(_PRIVATE)) :]))
    except Exception as error:
        raise FormatError("the OpenPGP key is malformed", where=where[:200]) from error


def parse_certificate(data: bytes) -> Certificate:
    """Return the only certificate in data, armored (with text around it) or binary; raises FormatError."""
    certificates = parse_certificates(data) if data.count(_PUBLIC) <= 1 else ()
    if len(certificates) != 1:
        raise FormatError("the file has several OpenPGP keys", hint="use a file with one key")
    return certificates[0]


def parse_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Return the certificates in data, at least one, as `parse_certificate`; raises FormatError."""
    from pysequoia import Cert

    if is_private(data):
        raise FormatError("the file is a private key", hint="export the public key: pumice key export KEY")
    blocks = [_PUBLIC + block for block in data.split(_PUBLIC)[1:]] or [data]
    try:
        certificates = [
            Certificate(bytes(each), KIND, each.fingerprint.lower(), _read_user_id(bytes(each)))
            for block in blocks
            for each in Cert.split_bytes(block)
        ]
    except Exception as error:
        raise FormatError("the OpenPGP key is malformed") from error
    if not certificates:
        raise FormatError("the OpenPGP key is malformed")
    return tuple(certificates)


class SecretKey:
    """A secret key; its representation has only the fingerprint."""

    def __init__(self, data: bytes, where: Path) -> None:
        """Read an armored or binary secret key; raises FormatError."""
        from pysequoia import Tsk

        self._where = where
        try:
            self._key: Tsk = Tsk.from_bytes(data[max(0, data.find(_PRIVATE)) :])
            certificate = self._key.extract_certificate()
            self.certificate = Certificate(
                bytes(certificate), KIND, certificate.fingerprint.lower(), _read_user_id(bytes(certificate))
            )
            self.is_protected = openpgpkey.is_protected(bytes(self._key))
        except Exception as error:
            raise FormatError("the OpenPGP key is malformed", where=str(where)) from error

    def unlock(self, passphrase: Callable[[], bytes]) -> PySigner:
        """Return the unlocked signer; ``passphrase`` is called only if the key has one. Raises TrustError."""
        where = str(self._where)
        try:
            return self._key.signer()
        except Exception as error:
            if not self.is_protected:
                raise TrustError("the OpenPGP key has no valid signing key", where=where) from error
        secret = passphrase()
        try:
            return self._key.signer(secret.decode())
        except Exception as error:
            message = "wrong passphrase, or the OpenPGP key has no valid signing key"
            raise TrustError(message, where=where) from error

    def sign_file(self, file: Path, passphrase: Callable[[], bytes]) -> bytes:
        """Return the detached signature of a file, in binary; raises TrustError, OSError.

        The signing time is the machine's clock, and the signature contains random bytes.
        """
        import tempfile

        import pysequoia

        signer = self.unlock(passphrase)
        mode = pysequoia.SignatureMode.DETACHED
        with tempfile.TemporaryDirectory(prefix="pumice-") as folder:
            target = Path(folder, "signature")
            try:
                pysequoia.sign_file(signer, file, target, mode=mode, armor=False)
            except Exception as error:
                reason = str(error).partition("\n")[0][:200]
                raise TrustError(f"cannot sign with the key: {reason}", where=str(file)) from error
            return target.read_bytes()

    def export_protected(self, passphrase: bytes) -> bytes:
        """Return the armored key; ``passphrase`` protects it unless it is empty or the key has one."""
        import pysequoia

        data = bytes(self._key)
        if passphrase and not self.is_protected:
            data = openpgpkey.protect_key(data, passphrase, os.urandom)
        return pysequoia.armor(data, pysequoia.ArmorKind.SecretKey).encode()

    def __repr__(self) -> str:
        return f"<OpenPGP key {self.certificate.fingerprint}>"


def generate_key(user_id: str) -> SecretKey:
    """Return a new Ed25519 key for a user ID, in the format of RFC 4880; raises UsageError."""
    import pysequoia

    if not user_id.strip() or len(user_id) > _MAX_USER_ID or not user_id.isprintable():
        raise UsageError(
            f"invalid user ID {user_id[:40]!r}", hint='use a name and an address: "Ada <ada@example.com>"'
        )
    key = pysequoia.Tsk.generate(
        user_id, profile=pysequoia.Profile.RFC4880, cipher_suite=pysequoia.CipherSuite.Cv25519
    )
    return SecretKey(bytes(key), Path("the new key"))


def write_pair(base: Path, key: SecretKey, passphrase: bytes) -> tuple[Path, Path]:
    """Write ``BASE.key`` (for its owner only) and ``BASE.pub``; raises StoreError if either exists."""
    private, public = Path(f"{base}.key"), Path(f"{base}.pub")
    for path in (private, public):
        if os.path.lexists(path):
            raise StoreError("the file exists", where=str(path), hint="choose another name")
    files.replace(private, key.export_protected(passphrase), mode=0o600)
    files.replace(public, key.certificate.pem(), mode=0o644)
    return private, public


def import_key(
    data: bytes, path: Path, base: Path, passphrase: Callable[[], bytes], new_passphrase: Callable[[], bytes]
) -> Certificate:
    """Import an OpenPGP key to ``base``; raises TrustError for a wrong passphrase.

    A secret key keeps its passphrase; ``new_passphrase`` protects a key that has none.
    """
    if not is_private(data):
        public = parse_certificate(data)
        target = Path(f"{base}.pub")
        if os.path.lexists(target):
            raise UsageError("the file exists", where=str(target), hint="choose another --output")
        files.replace(target, public.pem(), mode=0o644)
        return public
    key = SecretKey(data, path)
    key.unlock(passphrase)
    write_pair(base, key, b"" if key.is_protected else new_passphrase())
    return key.certificate


def _read_user_id(data: bytes) -> str:
    """Return the first user ID, printable text or not."""
    from pysequoia.packet import PacketPile

    for packet in PacketPile.from_bytes(data):
        if str(packet.tag).endswith(".UserID"):
            return " ".join(bytes(packet.body).decode("utf-8", "replace").split())[:_MAX_USER_ID]
    return ""
