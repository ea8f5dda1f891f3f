"""OpenPGP keys of the command line: finding the key that ``--key`` names and signing archives with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import TrustError, UsageError
from pumice.trust import key_files, openpgp
from pumice.trust.gpg import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pumice.trust.archive_signatures import ArchiveSigner


def is_openpgp_key(key: str, environ: Mapping[str, str]) -> bool:
    """Return whether ``key`` names a key of gpg or a file with an OpenPGP key."""
    if key.startswith(PREFIX):
        return True
    for suffix in (".key", ".pub"):
        try:
            return openpgp.read_if_openpgp(key_files.find_key_file(key, suffix, environ)) is not None
        except (TrustError, UsageError):
            continue
    return False


def reject_openpgp_key(key: str, environ: Mapping[str, str]) -> None:
    """Raise UsageError if ``key`` is an OpenPGP key."""
    if is_openpgp_key(key, environ):
        raise UsageError(
            "an OpenPGP key can only sign archives",
            where=key[:200],
            hint="use a key from 'pumice key generate'",
        )


def open_archive_signer(
    key: str, environ: Mapping[str, str], passphrase: Callable[[], bytes], *, has_passphrase: bool
) -> ArchiveSigner:
    """Return the signer of archives for a key; raises TrustError, UsageError, FormatError.

    With ``has_passphrase`` gpg's agent does not ask for the passphrase.
    """
    if key.startswith(PREFIX):
        return _gpg_signer(key.removeprefix(PREFIX), environ, passphrase if has_passphrase else None)
    path = key_files.find_key_file(key, ".key", environ)
    return _file_signer(openpgp.SecretKey(openpgp.read_secret_key(path), path), passphrase)


def export_key(key: str, environ: Mapping[str, str], passphrase: Callable[[], bytes] | None) -> bytes:
    """Return the armored certificate of an OpenPGP key, or with ``passphrase`` the armored secret key.

    ``passphrase`` protects a secret key that has no passphrase. Raises TrustError, UsageError, FormatError.
    """
    if key.startswith(PREFIX):
        from pumice.trust import gpg

        identity = key.removeprefix(PREFIX)
        if passphrase:
            raise UsageError("cannot export a secret key of gpg", hint="use gpg --export-secret-keys --armor")
        return gpg.export_certificate(environ, gpg.find_secret_key(environ, identity).fingerprint).pem()
    path = key_files.find_key_file(key, ".key", environ)
    data = openpgp.read_if_openpgp(path) or b""
    if not openpgp.is_private(data) and not passphrase:
        return openpgp.parse_certificate(data).pem()
    opened = openpgp.SecretKey(openpgp.read_secret_key(path), path)
    if not passphrase:
        return opened.certificate.pem()
    return opened.export_protected(b"" if opened.is_protected else passphrase())


def _gpg_signer(
    identity: str, environ: Mapping[str, str], passphrase: Callable[[], bytes] | None
) -> ArchiveSigner:
    from pumice.trust import gpg
    from pumice.trust.archive_signatures import ArchiveSigner

    gpg_key = gpg.find_secret_key(environ, identity)

    def sign(file: Path, signed_at: int | None) -> bytes:
        secret = passphrase() if passphrase else None
        return gpg.sign_file(environ, gpg_key.fingerprint, file, signed_at=signed_at, passphrase=secret)

    return ArchiveSigner(gpg.export_certificate(environ, gpg_key.fingerprint), sign)


def _file_signer(key: openpgp.SecretKey, passphrase: Callable[[], bytes]) -> ArchiveSigner:
    from pumice.trust.archive_signatures import ArchiveSigner

    def sign(file: Path, _: int | None) -> bytes:
        return key.sign_file(file, passphrase)

    return ArchiveSigner(key.certificate, sign)
