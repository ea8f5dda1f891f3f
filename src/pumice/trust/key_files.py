"""Key files: anywhere by path, or by name in ``$XDG_CONFIG_HOME/pumice/keys``."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import files, ownership
from pumice.errors import FormatError, PumiceError, TrustError, UsageError
from pumice.os_errors import suggest_path, translate_os_errors
from pumice.trust import keys, openpgp, public_keys
from pumice.trust.key_directory import keys_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pumice.digest import Digest
    from pumice.trust.image_signing import Signer

DEFAULT_NAME = "default"


class StoredKey(msgspec.Struct, frozen=True):
    """A key in the key directory; ``can_sign`` is whether it has the private half."""

    name: str
    public_key: keys.PublicKey
    can_sign: bool


def find_key_file(text: str, suffix: str, environ: Mapping[str, str]) -> Path:
    """Return the file that ``--key`` names: a path, or a name in the key directory; raises TrustError."""
    path = Path(text)
    if "/" in text or (text and path.exists()):
        if not path.exists():
            raise TrustError("no such key file", where=text, hint=_suggest_key_file(text, suffix))
        return path
    stored = keys_directory(environ) / f"{text}{suffix}"
    if stored.exists():
        return stored
    similar = Path(f"{text}{suffix}")
    raise TrustError(
        f"no such key {text[:100]!r}",
        hint=f"did you mean {similar}?"
        if similar.is_file()
        else "give a file or a name from 'pumice key list'; 'pumice key generate' generates a key",
    )


def find_private_key(text: str, environ: Mapping[str, str]) -> Path:
    """Return the file of a private key that ``text`` names, as `find_key_file` does, without opening it.

    Raises FormatError for the public key in its place, before a build that is to be signed with it.
    """
    path = find_key_file(text, ".key", environ)
    if path.suffix == ".pub":
        keys.reject_public_key(keys.read_key_file(path), path)
    return path


def _suggest_key_file(text: str, suffix: str) -> str:
    if "://" not in text:
        return suggest_path(text)
    if suffix == ".pub":
        return "download the key, or trust it: pumice trust add --prefix NAME URL"
    return "write the key to a file: keys in key services and in the environment are not supported"


def load_signer(path: Path, passphrase: Callable[[], bytes]) -> Signer:
    """Return the signer for a private key, which is opened later if its public half is in BASE.pub."""
    from pumice.trust.image_signing import Signer

    public_path = path.with_suffix(".pub")
    if path.suffix == ".key" and public_path.is_file():
        return Signer(
            public_keys.read_public_key(public_path), cache(lambda: keys.read_private_key(path, passphrase))
        )
    private_key = keys.read_private_key(path, passphrase)
    return Signer(private_key.public_key, lambda: private_key)


def key_digest(path: Path) -> Digest:
    """Return a digest that identifies a private key without opening it; raises TrustError.

    It is the digest of BASE.pub, or if that is missing of the key file.
    """
    from pumice import digest

    public_path = path.with_suffix(".pub")
    has_public = path.suffix == ".key" and public_path.is_file()
    return digest.of(keys.read_key_file(public_path if has_public else path))


def create_parent(base: Path) -> Path:
    """Create the directory of a key pair, for its owner only, and return ``base``."""
    with translate_os_errors(base.parent):
        ownership.make_directories(base.parent, private=True)
    return base


def list_keys(environ: Mapping[str, str]) -> Iterator[StoredKey]:
    """Yield the keys of the key directory; other files are skipped."""
    directory = keys_directory(environ)
    for path in sorted(directory.glob("*.pub")) if directory.is_dir() else ():
        try:
            public = public_keys.read_public_key(path)
        except PumiceError:
            continue
        yield StoredKey(path.stem, public, path.with_suffix(".key").exists())


def import_key(
    path: Path, base: Path, passphrase: Callable[[], bytes], new_passphrase: Callable[[], bytes]
) -> keys.PublicKey:
    """Import a key file to ``base``: a private key is encrypted with the new passphrase.

    Raises StoreError or UsageError if the target exists, FormatError for an unknown format.
    """
    openpgp_data = openpgp.read_if_openpgp(path)
    if openpgp_data is not None:
        return openpgp.import_key(openpgp_data, path, base, passphrase, new_passphrase)
    data = keys.read_key_file(path)
    if b"-----BEGIN" not in data:
        raise FormatError(
            "the file has no PEM or OpenPGP key",
            where=str(path),
            hint=f"import {keys.SUPPORTED}",
        )
    if b"PRIVATE KEY-----" not in data:
        public = public_keys.read_public_key(path)
        target = Path(f"{base}.pub")
        if os.path.lexists(target):
            raise UsageError("the file exists", where=str(target), hint="choose another --output")
        files.replace(target, public.pem(), mode=0o644)
        return public
    private_key = keys.read_private_key(path, passphrase)
    keys.write_pair(base, private_key, new_passphrase())
    return private_key.public_key
