"""Which OpenPGP key ``--key`` means, and what signs archives with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import TrustError, UsageError
from pumice.trust import keyfiles, openpgp
from pumice.trust.gpg import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pumice.trust.detached import Signer


def is_openpgp(key: str, environ: Mapping[str, str]) -> bool:
    """Say whether ``key`` is one of gpg's, or a file with an OpenPGP key."""
    if key.startswith(PREFIX):
        return True
    for suffix in (".key", ".pub"):
        try:
            return openpgp.read(keyfiles.find(key, suffix, environ)) is not None
        except (TrustError, UsageError):
            continue
    return False


def refuse(key: str, environ: Mapping[str, str]) -> None:
    """Raise UsageError for an OpenPGP key, where another kind is needed."""
    if is_openpgp(key, environ):
        raise UsageError(
            "an OpenPGP key signs archives only",
            where=key[:200],
            hint="use a key that 'pumice key generate' makes",
        )


def signer(key: str, environ: Mapping[str, str], passphrase: Callable[[], bytes], *, given: bool) -> Signer:
    """Return what signs archives; raises TrustError, UsageError, FormatError.

    ``given`` is whether the passphrase is known, so that gpg's agent need not ask for it.
    """
    if key.startswith(PREFIX):
        return _by_gpg(key.removeprefix(PREFIX), environ, passphrase if given else None)
    path = keyfiles.find(key, ".key", environ)
    return _by_file(openpgp.SecretKey(openpgp.secret(path), path), passphrase)


def exported(key: str, environ: Mapping[str, str], passphrase: Callable[[], bytes] | None) -> bytes:
    """Return the armored certificate of an OpenPGP key, or with ``passphrase`` the secret key.

    A secret key without a passphrase is given that one. Raises TrustError, UsageError, FormatError.
    """
    if key.startswith(PREFIX):
        from pumice.trust import gpg

        identity = key.removeprefix(PREFIX)
        if passphrase:
            raise UsageError("gpg keeps its secret keys", hint="use gpg --export-secret-keys --armor")
        return gpg.export(environ, gpg.find(environ, identity).fingerprint).pem()
    path = keyfiles.find(key, ".key", environ)
    data = openpgp.read(path) or b""
    if not openpgp.is_private(data) and not passphrase:
        return openpgp.parse(data).pem()
    opened = openpgp.SecretKey(openpgp.secret(path), path)
    if not passphrase:
        return opened.public.pem()
    return opened.sealed(b"" if opened.protected else passphrase())


def _by_gpg(identity: str, environ: Mapping[str, str], passphrase: Callable[[], bytes] | None) -> Signer:
    from pumice.trust import gpg
    from pumice.trust.detached import Signer

    held = gpg.find(environ, identity)

    def sign(file: Path, moment: int | None) -> bytes:
        word = passphrase() if passphrase else None
        return gpg.sign(environ, held.fingerprint, file, moment=moment, passphrase=word)

    return Signer(gpg.export(environ, held.fingerprint), sign)


def _by_file(key: openpgp.SecretKey, passphrase: Callable[[], bytes]) -> Signer:
    from pumice.trust.detached import Signer

    def sign(file: Path, _: int | None) -> bytes:
        return key.sign(file, passphrase)

    return Signer(key.public, sign)
