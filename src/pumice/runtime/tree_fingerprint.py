"""Detect changes of a prepared tree: its metadata is compared at every run, contents only where that differs.

The file ``fingerprint`` of a tree has a digest over the metadata of all files, which one comparison checks,
and then the metadata and the content's digest of every file. ctime is part of the metadata: no write, rename
or change of mode leaves it as it was, and root itself cannot set it.
"""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from typing import TYPE_CHECKING

from pumice import files
from pumice.runtime.launch.trees import FINGERPRINT, SUMMARY_LENGTH, list_files, summarize

if TYPE_CHECKING:
    from pathlib import Path

_MAX_CHANGES = 5
_CHUNK = 1 << 20
_NOTHING = "-"
"""Stands for the digest of what has no content, such as a directory."""


def record(directory: Path) -> None:
    """Write the fingerprint of the tree ``directory/root``, whose contents have just been verified."""
    root = str(directory / "root")
    entries = [(path, metadata, _digest(f"{root}/{path}")) for path, metadata in list_files(root)]
    _write(directory, entries)


def find_changes(directory: Path, *, full: bool = False) -> list[str]:
    """Return paths in a tree whose content, mode or owner changed, at most a few; none if it is as recorded.

    With ``full``, the contents of all files are read. A tree without a fingerprint counts as changed.
    """
    root = str(directory / "root")
    try:
        data = (directory / FINGERPRINT).read_bytes()
        current = list(list_files(root))
        head = data[:SUMMARY_LENGTH].decode()
        if not full and summarize(current) == head:
            return []
        recorded = _parse(data)
    except (OSError, ValueError):
        return [FINGERPRINT]
    existing = dict(current)
    changes = [path for path in recorded if path not in existing][:_MAX_CHANGES]
    entries = []
    for path, metadata in current:
        expected, content = recorded.get(path, ("", ""))
        if (expected == metadata and not full) or (
            _without_times(expected) == _without_times(metadata) and _digest(f"{root}/{path}") == content
        ):
            entries.append((path, metadata, content))
        elif len(changes) < _MAX_CHANGES:
            changes.append(path)
    if not changes and summarize(current) != head:
        _write(directory, entries)  # only times differ, as after a copy of the store
    return changes


def _without_times(metadata: str) -> list[str]:
    """Return mode, owner, size and device; the size of a directory depends on the file system."""
    mode, uid, gid, size, device = metadata.split(" ")[:5] if metadata else [""] * 5
    is_directory = mode.isdigit() and stat.S_ISDIR(int(mode))
    return [mode, uid, gid, "" if is_directory else size, device]


def _digest(path: str) -> str:
    """Return the digest of a regular file or of the target of a link; nothing else is opened."""
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return sha256(os.fsencode(os.readlink(path))).hexdigest()  # noqa: PTH115 - a Path would normalize it
    if not stat.S_ISREG(mode):
        return _NOTHING
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError:
        return _NOTHING
    try:
        digest = sha256()
        while data := os.read(descriptor, _CHUNK):
            digest.update(data)
        return digest.hexdigest()
    finally:
        os.close(descriptor)


def _write(directory: Path, entries: list[tuple[str, str, str]]) -> None:
    head = summarize([(path, metadata) for path, metadata, _ in entries])
    body = "".join(f"{path}\0{metadata}\0{content}\0" for path, metadata, content in entries)
    temporary = directory / f".{files.scratch_name()}"
    temporary.write_bytes(f"{head}\0{body}".encode(errors="surrogateescape"))
    temporary.rename(directory / FINGERPRINT)


def _parse(data: bytes) -> dict[str, tuple[str, str]]:
    """Return metadata and content's digest by path; raises ValueError."""
    fields = data.partition(b"\0")[2].decode(errors="surrogateescape").split("\0")
    if len(fields) % 3 != 1:
        raise ValueError("the fingerprint is cut")
    return {fields[at]: (fields[at + 1], fields[at + 2]) for at in range(0, len(fields) - 1, 3)}
