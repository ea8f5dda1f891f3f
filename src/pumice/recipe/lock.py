"""The lock: exactly which packages a recipe stands for, and which signed indexes say so."""

from __future__ import annotations

from typing import Literal

import msgspec

LOCK_VERSION = 1
"""The shape of the lock file itself."""

FORMAT = 1
"""The digest-affecting rules by which images are made; kept in each lock from the first day."""

Role = Literal["package", "base-data", "local"]


class LockedPackage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One package, pinned.

    ``path`` is relative to a mirror of ``archive`` (never a host), or to the recipe for the role
    ``local``. ``source`` and ``source_version`` are left out where they equal name and version.
    """

    name: str
    version: str
    architecture: str
    archive: str
    suite: str
    path: str
    size: int
    sha256: str
    sha512: str = ""
    source: str = ""
    source_version: str = ""
    role: Role = "package"


class LockedIndex(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One signed index that was consulted. Times are seconds since the epoch."""

    archive: str
    suite: str
    codename: str = ""
    origin: str = ""
    date: int = 0
    valid_until: int = 0
    digest: str = ""
    """Of the InRelease (or Release) file."""
    signers: tuple[str, ...] = ()
    """Fingerprints, upper-case hexadecimal, sorted."""
    keyring: str = ""
    """Digest of the keyring it was checked with."""


class Ids(msgspec.Struct, frozen=True, omit_defaults=True):
    """Numeric ids allocated for names that have none of their own."""

    users: dict[str, int] = {}
    groups: dict[str, int] = {}


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """A whole lock file."""

    requirements: str
    """Digest of what the recipe asks for, to notice when it changed."""
    packages: dict[str, tuple[LockedPackage, ...]]
    """By Debian architecture, sorted by name; ``all`` packages stand under each."""
    indexes: tuple[LockedIndex, ...] = ()
    ids: Ids = Ids()
    format: int = FORMAT
    lock: int = LOCK_VERSION
