"""Where keys are kept: files anywhere, or by name in ``$XDG_CONFIG_HOME/pumice/keys``."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import files, ownership
from pumice.errors import FormatError, PumiceError, TrustError, UsageError
from pumice.os_errors import translate_os_errors
from pumice.trust import keys, openpgp, public_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pumice.digest import Digest
    from pumice.trust.image_signing import Signer

DEFAULT_NAME = "default"


class StoredKey(msgspec.Struct, frozen=True):
    """A pair in the folder of keys; ``can_sign`` is whether the private half is there."""

    name: str
    public_key: keys.PublicKey
    can_sign: bool


def keys_directory(environ: Mapping[str, str]) -> Path:
    """Return the folder of keys; raises UsageError if there is no home directory to have it in."""
    base = environ.get("XDG_CONFIG_HOME", "")
    if not Path(base).is_absolute():
        if not environ.get("HOME"):
            raise UsageError("there is no home directory to keep keys in", hint="give --output BASE")
        base = str(Path(environ["HOME"], ".config"))
    return Path(base, "pumice", "keys")


def find_key_file(text: str, suffix: str, environ: Mapping[str, str]) -> Path:
    """Return the file that ``--key`` means: a path, or a name in the folder of keys; raises TrustError."""
    path = Path(text)
    if path.exists() or "/" in text:
        if not path.exists():
            raise TrustError("there is no such key file", where=text)
        return path
    stored = keys_directory(environ) / f"{text}{suffix}"
    if stored.exists():
        return stored
    raise TrustError(
        f"there is no key {text[:100]!r}",
        hint="give a file, or a name that 'pumice key list' shows; 'pumice key generate' makes one",
    )


def load_signer(path: Path, passphrase: Callable[[], bytes]) -> Signer:
    """Return what signs with a private key: it is opened at once only if its public half is not beside it."""
    from pumice.trust.image_signing import Signer

    public_path = path.with_suffix(".pub")
    if path.suffix == ".key" and public_path.is_file():
        return Signer(
            public_keys.read_public_key(public_path), cache(lambda: keys.read_private_key(path, passphrase))
        )
    private_key = keys.read_private_key(path, passphrase)
    return Signer(private_key.public_key, lambda: private_key)


def key_digest(path: Path) -> Digest:
    """Return a digest that stands for a private key without opening it: of its public half, or of its file.

    Raises TrustError if it cannot be read.
    """
    from pumice import digest

    public_path = path.with_suffix(".pub")
    has_public = path.suffix == ".key" and public_path.is_file()
    return digest.of(keys.read_key_file(public_path if has_public else path))


def create_parent(base: Path) -> Path:
    """Make the folder that a pair goes into, for its owner only, and return ``base``."""
    with translate_os_errors(base.parent):
        ownership.make_directories(base.parent, private=True)
    return base


def list_keys(environ: Mapping[str, str]) -> Iterator[StoredKey]:
    """Yield the keys of the folder; what is no key is left out."""
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
    """Copy a key of others to ``base``: a private key is encrypted anew, a public one is written as it is.

    Raises StoreError if there is one already.
    """
    openpgp_data = openpgp.read_if_openpgp(path)
    if openpgp_data is not None:
        return openpgp.import_key(openpgp_data, path, base, passphrase, new_passphrase)
    data = keys.read_key_file(path)
    if b"-----BEGIN" not in data:
        raise FormatError(
            "cannot find a key in PEM or OpenPGP in the file",
            where=str(path),
            hint=f"import {keys.SUPPORTED}",
        )
    if b"PRIVATE KEY-----" not in data:
        public = public_keys.read_public_key(path)
        target = Path(f"{base}.pub")
        if os.path.lexists(target):
            raise UsageError("the file exists already", where=str(target), hint="choose another --output")
        files.replace(target, public.pem(), mode=0o644)
        return public
    private_key = keys.read_private_key(path, passphrase)
    keys.write_pair(base, private_key, new_passphrase())
    return private_key.public_key
