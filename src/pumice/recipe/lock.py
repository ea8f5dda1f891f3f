"""The lock: the exact packages of a recipe, and the signed indexes that list them.

It is JSON, sorted, with one package per line, so that a changed package changes one line. Specified in
``docs/reference/lock.md``.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


LOCK_VERSION = 1
"""The version of the file format."""

FORMAT = 2
"""The version of the rules that decide the bytes of an image; an older lock keeps its own."""

Role = Literal["package", "base-data", "local", "slice"]


class LockedPackage(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """An exact package.

    ``path`` is relative to a mirror of ``archive`` (the lock names no hosts), or to the recipe for the
    role ``local``. Only slices are used of a package with the role ``slice``. ``source`` and
    ``source_version`` are omitted if they equal name and version.
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


class LockedIndex(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A signed index that was used. Times are seconds since 1970."""

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
    """Digest of the keyring that verified it."""


class Ids(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """User and group ids that were allocated for names without an id in the recipe."""

    users: dict[str, int] = {}
    groups: dict[str, int] = {}


class Lock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole lock file."""

    requirements: str
    """Digest of the recipe's requirements, by which a stale lock is recognized."""
    packages: dict[str, tuple[LockedPackage, ...]]
    """By Debian architecture, sorted by name; ``all`` packages are listed under each."""
    indexes: tuple[LockedIndex, ...] = ()
    omittable: dict[str, tuple[str, ...]] = {}
    """By architecture: the packages, and dependencies ``NAME>OTHER``, that only package scripts use. A build
    leaves out packages that nothing in the image uses; without a list it keeps everything."""
    without: dict[str, tuple[str, ...]] = {}
    """By architecture: the packages that the recipe gives up."""
    omitted: dict[str, tuple[str, ...]] = {}
    """By architecture: the packages that the last build left out. It is a record, and decides nothing."""
    slices: str = ""
    """Digest of the release of slices; empty without slices."""
    ids: Ids = Ids()
    args: dict[str, str] = {}
    """The values of the recipe's arguments."""
    format: int = FORMAT
    lock: int = LOCK_VERSION


_encoder = msgspec.json.Encoder(order="deterministic")


def encode_lock(lock: Lock) -> bytes:
    """Return the lock as JSON; equal locks give equal bytes."""
    packages = [
        _block(_line(architecture), "[]", map(_line, sorted(items, key=_package_key)))
        for architecture, items in sorted(lock.packages.items())
    ]
    ids = [
        _block(f'"{kind}"', "{}", (f"{_line(name)}: {number}" for name, number in sorted(ids.items())))
        for kind, ids in (("users", lock.ids.users), ("groups", lock.ids.groups))
    ]
    members = [
        f'"lock": {lock.lock}',
        f'"format": {lock.format}',
        f'"requirements": {_line(lock.requirements)}',
        *_argument_members(lock.args),
        _block('"indexes"', "[]", map(_line, sorted(lock.indexes, key=_index_key))),
        _block('"packages"', "{}", packages),
        *((f'"slices": {_line(lock.slices)}',) if lock.slices else ()),
        *_name_members("omittable", lock.omittable),
        *_name_members("without", lock.without),
        *_name_members("omitted", lock.omitted),
        _block('"ids"', "{}", ids),
    ]
    return f"{_block('', '{}', members)}\n".encode()


def _argument_members(args: dict[str, str]) -> tuple[str, ...]:
    """Return the member for the arguments; none without arguments, as in locks of older versions."""
    lines = (f"{_line(name)}: {_line(value)}" for name, value in sorted(args.items()))
    return (_block('"args"', "{}", lines),) if args else ()


def _name_members(key: str, names: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the member for lists of names by architecture; none without names, as in older locks."""
    lists = [
        _block(_line(architecture), "[]", map(_line, sorted(items)))
        for architecture, items in sorted(names.items())
        if items
    ]
    return (_block(_line(key), "{}", lists),) if lists else ()


def _line(value: Any) -> str:
    return _encoder.encode(value).decode()


def _block(key: str, brackets: str, items: Iterable[str]) -> str:
    """Return ``key`` with a list or object, indented, one item per line."""
    head = f"{key}: " if key else ""
    body = ",\n".join(items)
    if not body:
        return head + brackets
    indented = "\n".join("  " + line for line in body.split("\n"))
    return f"{head}{brackets[0]}\n{indented}\n{brackets[1]}"


def _package_key(package: LockedPackage) -> tuple[str, str]:
    return package.name, package.architecture


def _index_key(index: LockedIndex) -> tuple[str, str, str]:
    return index.archive, index.suite, index.digest


def sort_lock(lock: Lock) -> Lock:
    """Return the lock with its packages and indexes in order."""
    packages = {
        architecture: tuple(sorted(items, key=_package_key))
        for architecture, items in sorted(lock.packages.items())
    }
    return msgspec.structs.replace(
        lock, packages=packages, indexes=tuple(sorted(lock.indexes, key=_index_key))
    )
