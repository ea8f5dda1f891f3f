"""What the commands of ``generate`` wrote, as entries of an image: normalized, limited, and checked."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from pumice import digest
from pumice.errors import ImageError
from pumice.formats.tar import Entry, Kind
from pumice.packing.compose import LayerEntry
from pumice.packing.tree import RECIPE_OWNER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pumice.assembly.layer_assembly import LayerContents
    from pumice.packing.tree import Node

_MAX_FILES = 100_000
_MAX_FILE = 512 << 20
_MAX_TOTAL = 2 << 30
_LINK_MODE = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO
_PERMISSIONS = stat.S_ISVTX | _LINK_MODE
_SET_IDS = stat.S_ISUID | stat.S_ISGID
_BLOCK = 1 << 20


def read_output(
    root: Path,
    paths: Iterable[str],
    contents: LayerContents,
    modes: Mapping[str, int],
    mtime: int,
    *,
    owners: Mapping[str, tuple[int | None, int | None]] | None = None,
    writer: str = "the commands of 'generate'",
) -> list[LayerEntry]:
    """Return the entries at ``paths`` of the tree ``root`` that differ from those in ``contents``.

    Their contents are files below ``root``. ``modes`` are the modes before the commands ran, by path;
    ``mtime`` is the time of all entries. Owners stay as they are; new files belong to root, and have no
    set-ID bits, unless ``owners`` are known. ``writer`` is named in errors.

    Raises ImageError for a device, a socket, a pipe, or more than the limits allow.
    """
    reader = _OutputReader(root, contents, modes, mtime, owners, writer)
    layer_entries = [entry for path in sorted(paths) if (entry := reader.read(path)) is not None]
    if len(layer_entries) > _MAX_FILES:
        raise ImageError(f"{writer} write more than {_MAX_FILES} files")
    return layer_entries


class _OutputReader:
    """Reads entries, and remembers which files are hard links to each other."""

    def __init__(
        self,
        root: Path,
        contents: LayerContents,
        modes: Mapping[str, int],
        mtime: int,
        owners: Mapping[str, tuple[int | None, int | None]] | None,
        writer: str,
    ) -> None:
        self._root = root
        self._nodes = contents.nodes
        self._digests = content_digests(contents)
        self._bytecode = {item.entry.path for item in contents.bytecode.items} if contents.bytecode else set()
        self._modes = modes
        self._mtime = mtime
        self._owners = owners
        self._writer = writer
        self._path_by_inode: dict[int, str] = {}
        self._remaining = _MAX_TOTAL

    def read(self, path: str) -> LayerEntry | None:
        """Return the entry at ``path``, None if it is the same as in the image."""
        status = (self._root / path).lstat()
        node = self._nodes.get(path)
        if stat.S_ISDIR(status.st_mode):
            return self._read_directory(path, status, node)
        layer_entry = (
            self._read_link(path, node)
            if stat.S_ISLNK(status.st_mode)
            else self._read_file(path, status, node)
            if stat.S_ISREG(status.st_mode)
            else None
        )
        if layer_entry is None and not (stat.S_ISLNK(status.st_mode) or stat.S_ISREG(status.st_mode)):
            raise ImageError(f"{self._writer} leave /{path}, which is not a file, link or directory")
        if layer_entry is not None:
            self._check_replaceable(path, node)
        return layer_entry

    def _check_replaceable(self, path: str, node: Node | None) -> None:
        if path in self._bytecode:
            raise ImageError(
                f"{self._writer} and python.bytecode both write /{path}",
                hint="remove one of them",
            )
        if node is not None and node.owner == RECIPE_OWNER:
            raise ImageError(
                f"{self._writer} change /{path}, which is one of the recipe's files",
                hint="let them write to another file, or put the final content under 'files'",
            )

    def _read_directory(self, path: str, status: os.stat_result, node: Node | None) -> LayerEntry | None:
        is_same_mode = self._modes.get(path) == status.st_mode and not self._has_new_owner(path, node)
        if node is not None and node.entry.kind == "dir" and is_same_mode:
            return None
        return LayerEntry(entry=self._make_entry(path, "dir", status.st_mode, node, mtime=0))

    def _read_link(self, path: str, node: Node | None) -> LayerEntry | None:
        target = os.fsdecode(os.readlink(os.fsencode(self._root / path)))  # noqa: PTH115 - a Path would normalize it
        is_same = node is not None and node.entry.kind == "symlink" and node.entry.link == target
        if is_same and not self._has_new_owner(path, node):
            return None
        return LayerEntry(entry=self._make_entry(path, "symlink", _LINK_MODE, node, link=target))

    def _read_file(self, path: str, status: os.stat_result, node: Node | None) -> LayerEntry | None:
        absolute = self._root / path
        if not status.st_mode & stat.S_IRUSR:
            absolute.chmod(stat.S_IMODE(status.st_mode) | stat.S_IRUSR)
        self._remaining -= status.st_size
        if status.st_size > _MAX_FILE or self._remaining < 0:
            raise ImageError(
                f"{self._writer} write too much: /{path} has {status.st_size} bytes",
                hint=f"a file can have {_MAX_FILE >> 20} MB, all together {_MAX_TOTAL >> 30} GB",
            )
        sha256 = _hash_file(absolute)
        if self._is_unchanged(path, status, node, sha256):
            return None
        first_path = self._path_by_inode.setdefault(status.st_ino, path)
        if first_path != path:
            return LayerEntry(entry=self._make_entry(path, "hardlink", status.st_mode, node, link=first_path))
        entry = self._make_entry(path, "file", status.st_mode, node, size=status.st_size)
        return LayerEntry(entry=entry, content=absolute, sha256=sha256)

    def _is_unchanged(self, path: str, status: os.stat_result, node: Node | None, sha256: str) -> bool:
        if node is None or node.entry.kind not in ("file", "hardlink"):
            return False
        original = node.entry.link if node.entry.kind == "hardlink" else path
        is_same = self._digests.get(original) == sha256 and self._modes.get(path) == status.st_mode
        return is_same and not self._has_new_owner(path, node)

    def _has_new_owner(self, path: str, node: Node | None) -> bool:
        return node is not None and self._owner(path, node) != (node.entry.uid, node.entry.gid)

    def _owner(self, path: str, node: Node | None) -> tuple[int, int]:
        """Return the owner of a file: what it was given, else what it has in the image."""
        uid, gid = (self._owners or {}).get(path, (None, None))
        old = (node.entry.uid, node.entry.gid) if node else (0, 0)
        return (old[0] if uid is None else uid, old[1] if gid is None else gid)

    def _make_entry(
        self,
        path: str,
        kind: Kind,
        mode: int,
        node: Node | None,
        *,
        size: int = 0,
        link: str = "",
        mtime: int | None = None,
    ) -> Entry:
        mtime = self._mtime if mtime is None else mtime
        permissions = mode & (_PERMISSIONS if self._owners is None else _PERMISSIONS | _SET_IDS)
        uid, gid = self._owner(path, node)
        if node is None:
            return Entry(path, kind, permissions, uid, gid, mtime=mtime, size=size, link=link)
        if self._modes.get(path) == mode:
            permissions = node.entry.mode  # with the set-ID bits that were not unpacked
        return Entry(path, kind, permissions, uid, gid, mtime=mtime, size=size, link=link)


def content_digests(contents: LayerContents) -> dict[str, str]:
    """Return the SHA-256 (hex) of the files of an image, by path, without those of bytecode."""
    digests = {
        item.entry.path: item.sha256 for segment in contents.segments.values() for item in segment.items
    }
    digests |= {item.entry.path: digest.hex_of(digest.of(item.content)) for item in contents.generated}
    return digests | {entry.entry.path: entry.sha256 for entry in contents.recipe_entries}


def _hash_file(path: Path) -> str:
    hasher = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
    return hasher.hexdigest()
