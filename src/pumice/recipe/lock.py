"""The lock: the exact packages of a recipe, and the signed indexes that list them.

It is JSON, sorted, with one package per line, so that a changed package changes one line. It is read
strictly, because people and merges edit it, and because its paths are fetched. Specified in
``docs/reference/lock.md``.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from pumice.decoding import decode_json
from pumice.errors import LockError
from pumice.files import open_regular
from pumice.recipe.lock_rules import find_problems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


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


MAX_BYTES = 64 << 20
_REWRITE_HINT = "run 'pumice lock' to rewrite it, or restore it from version control"
_NEWER_HINT = "use a newer Pumice, or delete the lock and run 'pumice lock'"


def read_lock(path: Path) -> Lock:
    """Return the lock in a file; raises LockError if it is missing, malformed or hostile."""
    try:
        with open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise LockError(
            "the lock does not exist", where=str(path), hint="run 'pumice lock' to write it"
        ) from None
    except (OSError, ValueError) as error:
        why = (error.strerror or "") if isinstance(error, OSError) else str(error)
        raise LockError(f"cannot read the lock: {why.lower()}", where=str(path)) from None
    return parse_lock(data, str(path))


def parse_lock(data: bytes, name: str) -> Lock:
    """Return the lock in ``data``; ``name`` is the file name for error locations. Raises LockError."""
    if len(data) > MAX_BYTES:
        raise LockError(f"the lock is larger than {MAX_BYTES >> 20} MiB", where=name, hint=_REWRITE_HINT)
    try:
        data.decode("utf-8")
        lock = decode_json(data, Lock)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise LockError("the lock is not UTF-8", where=f"{name}:{line}", hint=_REWRITE_HINT) from None
    except msgspec.ValidationError as error:
        _reject_newer(data, name)
        raise _invalid_error(data, name, str(error)) from None
    except msgspec.DecodeError as error:
        raise _malformed_error(data, name, str(error)) from None
    except RecursionError:
        raise LockError("the lock is nested too deeply", where=name, hint=_REWRITE_HINT) from None
    if lock.lock > LOCK_VERSION or lock.format > FORMAT:
        _reject_newer(data, name)
    for problem, item in find_problems(lock):
        raise LockError(problem, where=_locate(data, name, item), hint=_REWRITE_HINT)
    if data != encode_lock(lock):
        _reject_duplicate_keys(data, name)
    return _sort_lock(lock)


class _Versions(msgspec.Struct):
    lock: int = LOCK_VERSION
    format: int = FORMAT


def _reject_newer(data: bytes, name: str) -> None:
    """Raise LockError if a lock is of a newer version than this code supports."""
    try:
        versions = decode_json(data, _Versions)
    except (msgspec.MsgspecError, RecursionError):
        return
    if versions.lock > LOCK_VERSION:
        message = (
            f"lock version {versions.lock} is not supported: this Pumice reads up to version {LOCK_VERSION}"
        )
        raise LockError(message, where=name, hint=_NEWER_HINT)
    if versions.format > FORMAT:
        message = f"lock format {versions.format} is not supported: this Pumice builds up to format {FORMAT}"
        raise LockError(message, where=name, hint=_NEWER_HINT)


def _malformed_error(data: bytes, name: str, reason_text: str) -> LockError:
    conflict_marker = re.search(rb"^(<<<<<<<|=======|>>>>>>>)", data, re.MULTILINE)
    if conflict_marker:
        return LockError("the lock contains merge conflict markers", where=name, hint=_REWRITE_HINT)
    position = re.search(r"\(byte ([0-9]+)\)", reason_text)
    if position is None:
        return LockError("the lock is not JSON: it ends too early", where=name, hint=_REWRITE_HINT)
    head = data[: int(position[1])].decode("utf-8", "replace").split("\n")
    location = f"{name}:{len(head)}:{len(head[-1]) + 1}"
    reason = reason_text.removeprefix("JSON is malformed: ").partition(" (byte")[0]
    return LockError(f"the lock is not JSON: {reason}", where=location, hint=_REWRITE_HINT)


def _invalid_error(data: bytes, name: str, message: str) -> LockError:
    """Return the error for JSON that is not a lock, with the line if it has one package per line."""
    for line, column, text in _item_lines(data):
        kind = LockedPackage if b'"name"' in text else LockedIndex
        try:
            decode_json(text, kind)
        except msgspec.MsgspecError as error:
            location = f"{name}:{line}:{column}"
            return LockError(
                f"the lock is invalid: {_reword(str(error))}", where=location, hint=_REWRITE_HINT
            )
        except RecursionError:
            break
    return LockError(f"the lock is invalid: {_reword(message)}", where=name, hint=_REWRITE_HINT)


def _reword(message: str) -> str:
    # A file that is not a lock may be a secret: quote none of its names.
    message = re.sub("(unknown field|Invalid enum value) (`[^`]*`|'[^']*')", r"\1", message, flags=re.DOTALL)
    text, _, path = message.replace("`", "'").partition(" - at ")
    text = text[:1].lower() + text[1:]
    return f"{text} at {path.strip(chr(39)).removeprefix('$').removeprefix('.')}" if path else text


def _item_lines(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    for number, line in enumerate(data.split(b"\n"), 1):
        text = line.strip().removesuffix(b",")
        if text.startswith(b"{") and text.endswith(b"}"):
            yield number, len(line) - len(line.lstrip()) + 1, text


def _locate(data: bytes, name: str, item: LockedPackage | LockedIndex | None) -> str:
    for line, column, text in _item_lines(data) if item is not None else ():
        try:
            if decode_json(text, type(item)) == item:
                return f"{name}:{line}:{column}"
        except (msgspec.MsgspecError, RecursionError):
            continue
    return name


def _reject_duplicate_keys(data: bytes, name: str) -> None:
    """Raise LockError for a duplicate key in an object, because JSON readers disagree about those."""
    import json

    def reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            raise LockError("the lock has a duplicate key", where=name, hint=_REWRITE_HINT)
        return members

    json.loads(data, object_pairs_hook=reject_duplicates)


def _sort_lock(lock: Lock) -> Lock:
    packages = {
        architecture: tuple(sorted(items, key=_package_key))
        for architecture, items in sorted(lock.packages.items())
    }
    return msgspec.structs.replace(
        lock, packages=packages, indexes=tuple(sorted(lock.indexes, key=_index_key))
    )
