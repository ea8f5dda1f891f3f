"""Reads a lock, strictly: people and merges edit it, and its paths are fetched."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pumice.decoding import decode_json
from pumice.errors import LockError
from pumice.files import open_regular
from pumice.recipe.lock import FORMAT, LOCK_VERSION, Lock, LockedIndex, LockedPackage, encode_lock, sort_lock
from pumice.recipe.lock_rules import find_problems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
    return sort_lock(lock)


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
