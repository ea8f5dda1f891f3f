"""Unpacks a tree into a directory, with or without root.

Everything is done relative to open directories and no link is followed, so neither an image nor another
process can redirect a write out of the directory. Names are bytes, whatever the locale.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import FormatError, ImageError
from pumice.image.output import require_writable
from pumice.os_errors import IMAGE, translate_os_errors
from pumice.ownership import make_directory, resolve_links
from pumice.terminal import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.formats.tar import Body, Entry
    from pumice.progress import Progress

_CHUNK = 1 << 20
_NO_LINKS = os.O_NOFOLLOW | os.O_CLOEXEC
_SET_IDS = stat.S_ISUID | stat.S_ISGID
_MAX_ID = (1 << 32) - 2
_NOT_ALLOWED = {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP}


@contextmanager
def unpack_into(path: Path, progress: Progress, *, set_owners: bool = True) -> Iterator[UnpackedDirectory]:
    """Yield a directory to fill; it appears at ``path`` when the context ends without an exception.

    ``set_owners`` is as in `rootfs.write_directory`.
    Raises ImageError if ``path`` exists and is not an empty directory, or if it cannot be written.
    """
    with translate_os_errors(path, IMAGE):
        target = Path(resolve_links(path))
        _check_free(target, path)
        temporary = target.with_name(f".pumice-{os.urandom(8).hex()}")
        make_directory(temporary, private=True)
        try:
            folder = UnpackedDirectory(temporary, is_root=os.geteuid() == 0, set_owners=set_owners)
            try:
                yield folder
                folder.finish()
            finally:
                folder.close()
            temporary.rename(target)
        except BaseException:
            _discard(temporary)
            raise
        folder.report(progress)


def check_new_directory(path: Path) -> None:
    """Raise ImageError if `unpack_into` could not make a directory at ``path``, as far as that is known."""
    with translate_os_errors(path, IMAGE):
        target = Path(resolve_links(path))
        _check_free(target, path)
        require_writable(target.parent)


def _check_free(target: Path, path: Path) -> None:
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise ImageError("a file exists where a directory is needed", where=str(path))
    if any(target.iterdir()):
        raise ImageError("the directory is not empty", where=str(path), hint="choose an empty one")
    if target.is_mount():
        raise ImageError("the directory is a mount point", where=str(path), hint="choose a directory in it")


def _discard(folder: Path) -> None:
    """Remove what was unpacked, including directories without write permission."""
    with suppress(OSError):
        folder.chmod(0o700)
        for directory, names, _ in os.walk(folder):
            for name in names:
                if not (Path(directory) / name).is_symlink():
                    (Path(directory) / name).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


class UnpackedDirectory:
    """A directory that is being filled; counts the attributes and devices that could not be written."""

    def __init__(self, path: Path, *, is_root: bool, set_owners: bool = True) -> None:
        self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _NO_LINKS)
        self._is_root = is_root
        self._set_owners = set_owners
        self._me = (os.geteuid(), os.getegid())
        self._folders: dict[str, Entry] = {}
        self._parent = ("", os.dup(self._root))
        self._owners = 0
        self._devices = 0
        self._attributes = 0

    def close(self) -> None:
        """Close the open directories."""
        os.close(self._parent[1])
        os.close(self._root)

    def add_directory(self, entry: Entry) -> None:
        """Add a directory, writable until `finish`, or replace the attributes of one that was added."""
        is_new = entry.path not in self._folders
        self._folders[entry.path] = entry
        if entry.path and is_new:
            parent, name = self._open_parent_cached(entry.path)
            os.mkdir(name, 0o700, dir_fd=parent)

    def add_entry(self, entry: Entry, body: Body) -> None:
        """Add a file, link, pipe or device."""
        parent, name = self._open_parent_cached(entry.path)
        if entry.kind == "file":
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS
            file = os.open(name, flags, 0o600, dir_fd=parent)
            try:
                while data := body.read(_CHUNK):
                    _write_all(file, data)
                self._set_attributes(file, entry)
            finally:
                os.close(file)
        elif entry.kind == "symlink":
            os.symlink(_encode_name(entry.link), name, dir_fd=parent)
            self._set_link_owner(entry, name, parent)
        else:
            self._add_special_file(entry, name, parent)

    def add_hardlink(self, entry: Entry) -> None:
        """Add a hard link."""
        source, target_name = self._open_parent(entry.link)
        try:
            parent, name = self._open_parent_cached(entry.path)
            os.link(target_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def finish(self) -> None:
        """Set the modes, owners and times of the directories, after all entries were added."""
        for entry in reversed(self._folders.values()):
            if entry.path:
                parent, name = self._open_parent_cached(entry.path)
                file = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _NO_LINKS, dir_fd=parent)
            else:
                file = os.dup(self._root)
            try:
                self._set_attributes(file, entry)
            finally:
                os.close(file)

    def report(self, progress: Progress) -> None:
        """Report the owners, devices and attributes that could not be written."""
        if self._owners:
            progress.note(
                f"{format_count(self._owners, 'path')} of other users now belong to you, without set-ID bits:"
                " owners can only be set by root"
            )
        if self._devices:
            progress.note(f"{format_count(self._devices, 'path')} omitted: only root can create devices")
        if self._attributes:
            paths = format_count(self._attributes, "path")
            progress.note(f"{paths} without extended attributes, which could not be set")

    def _add_special_file(self, entry: Entry, name: bytes, parent: int) -> None:
        kinds = {"fifo": stat.S_IFIFO, "char": stat.S_IFCHR, "block": stat.S_IFBLK}
        try:
            os.mknod(name, kinds[entry.kind] | 0o600, os.makedev(*entry.device), dir_fd=parent)
        except PermissionError:
            self._devices += 1
            return
        mode = self._set_link_owner(entry, name, parent)
        os.chmod(name, mode, dir_fd=parent)
        os.utime(name, (entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _set_link_owner(self, entry: Entry, name: bytes, parent: int) -> int:
        """Set the owner and time of a file that cannot be opened; return its mode for that owner."""
        mode = self._set_owner(
            entry, lambda: os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        )
        os.utime(name, (entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)
        return mode

    def _set_attributes(self, file: int, entry: Entry) -> None:
        """Set the attributes of an open file or directory, in an order in which none resets another."""
        os.fchmod(file, self._set_owner(entry, lambda: os.fchown(file, entry.uid, entry.gid)))
        if entry.xattrs:
            self._set_xattrs(file, entry)
        os.utime(file, (entry.mtime, entry.mtime))

    def _set_owner(self, entry: Entry, change: Change) -> int:
        """Set the owner if that is allowed; return the mode, without set-ID bits if the owner is not set."""
        if max(entry.uid, entry.gid) > _MAX_ID:
            raise FormatError(f"{entry.path!r} has an owner that is out of range")
        if not self._set_owners:
            return entry.mode & ~_SET_IDS
        if (entry.uid, entry.gid) == self._me:
            return entry.mode
        if self._is_root:
            try:
                change()
            except OSError as error:  # the user namespace may not have the id
                if error.errno not in _NOT_ALLOWED:
                    raise
            else:
                return entry.mode
        self._owners += 1
        return entry.mode & ~_SET_IDS

    def _set_xattrs(self, file: int, entry: Entry) -> None:
        try:
            for name, value in sorted(entry.xattrs.items()):
                os.setxattr(file, _encode_name(name), value)
        except (OSError, AttributeError) as error:  # AttributeError: not Linux
            if getattr(error, "errno", errno.ENOTSUP) not in _NOT_ALLOWED:
                raise
            self._attributes += 1

    def _open_parent_cached(self, path: str) -> tuple[int, bytes]:
        """Return the open parent of a path, which is kept for the next path, and the last component."""
        folder, _, name = path.rpartition("/")
        if folder != self._parent[0]:
            descriptor, _ = self._open_parent(path)
            os.close(self._parent[1])
            self._parent = (folder, descriptor)
        return self._parent[1], _encode_name(name)

    def _open_parent(self, path: str) -> tuple[int, bytes]:
        *parents, name = path.split("/")
        descriptor = os.dup(self._root)
        for component in parents:
            previous = descriptor
            try:
                descriptor = os.open(
                    _encode_name(component), os.O_RDONLY | os.O_DIRECTORY | _NO_LINKS, dir_fd=previous
                )
            finally:
                os.close(previous)
        return descriptor, _encode_name(name)


if TYPE_CHECKING:
    from collections.abc import Callable

    Change = Callable[[], None]


def _encode_name(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
