"""Writes a file or a directory as a tar archive, while others may change it."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import PodError
from pumice.formats import tar
from pumice.formats.tar import Entry
from pumice.runtime.pods.copying.limits import CopyLimits
from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.descriptors import write_all

if TYPE_CHECKING:
    from pumice.formats.tar import Kind

_CHUNK = 1 << 20
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
MOUNT_MARK = "pumice.mount"
"""The name of an attribute that marks the empty file or directory in place of a mount."""
_CAPABILITIES = "security.capability"
_KINDS: tuple[tuple[int, Kind], ...] = (
    (stat.S_IFREG, "file"),
    (stat.S_IFDIR, "dir"),
    (stat.S_IFLNK, "symlink"),
    (stat.S_IFIFO, "fifo"),
    (stat.S_IFCHR, "char"),
    (stat.S_IFBLK, "block"),
)


class ReadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to read: ``path`` in the root, whose own links are followed.

    ``name`` is its path in the archive, empty for the root of the archive. With ``whole_root``, it is the
    root file system of an image: other file systems that are mounted in it are left out, devices and file
    capabilities are included. With ``marks_mounts``, the mount points have a `MOUNT_MARK`.
    """

    path: str
    name: str = ""
    whole_root: bool = False
    marks_mounts: bool = False
    max_bytes: int = 0


def write_tree(root: int, request: ReadRequest, sink: int) -> None:
    """Write what is at a path below the directory ``root`` as a tar archive to the descriptor ``sink``.

    Raises OSError if the path cannot be read, and FormatError if there is too much.
    """
    reader = _TreeReader(sink, request)
    descriptor = syscalls.open_in_root(root, request.path)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            reader.add_directory(os.open(".", _READ | os.O_DIRECTORY, dir_fd=descriptor), request.name, 0)
        elif stat.S_ISREG(status.st_mode):
            opened = syscalls.open_in_root(root, request.path, _READ & ~os.O_NOFOLLOW)
            reader.add_file(opened, request.name)
        else:
            raise PodError(f"{request.path[:200]!r} is neither a file nor a directory")
    finally:
        os.close(descriptor)
    write_all(sink, tar.END_OF_ARCHIVE)


class _TreeReader:
    """The archive that is being written, and the first path of each file that has several."""

    def __init__(self, sink: int, request: ReadRequest) -> None:
        self._sink = sink
        self._whole_root = request.whole_root
        self._mark = {MOUNT_MARK: b"1"} if request.marks_mounts else {}
        self._limits = CopyLimits(request.max_bytes) if request.max_bytes else CopyLimits()
        self._paths: dict[tuple[int, int], str] = {}

    def add_directory(self, directory: int, path: str, depth: int) -> None:
        """Add a directory and all below it; closes its descriptor."""
        try:
            self._limits.count(0, depth)
            self._write_header(_entry(path, os.fstat(directory), "dir"))
            for name in sorted(os.listdir(directory), key=os.fsencode):
                child = f"{path}/{name}" if path else name
                try:
                    self._add_child(directory, name, child, depth)
                except FileNotFoundError:  # removed since it was listed
                    continue
        finally:
            os.close(directory)

    def _add_child(self, directory: int, name: str, path: str, depth: int) -> None:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if self._whole_root and _is_mount_point(directory, name):
            self._add_mount_point(path, status)
            return
        kind = _entry_kind(status)
        if kind == "dir":
            self.add_directory(os.open(name, _READ | os.O_DIRECTORY, dir_fd=directory), path, depth + 1)
        elif kind == "file":
            self._add_named_file(directory, name, path)
        elif kind == "symlink":
            self._limits.count(0)
            self._write_header(_entry(path, status, kind, link=os.readlink(name, dir_fd=directory)))
        elif kind is not None and (kind == "fifo" or self._whole_root):
            self._limits.count(0)
            self._write_header(_entry(path, status, kind))

    def _add_named_file(self, directory: int, name: str, path: str) -> None:
        try:
            opened = os.open(name, _READ, dir_fd=directory)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):  # no longer a file
                return
            raise
        self.add_file(opened, path)

    def add_file(self, file: int, path: str) -> None:
        """Add a regular file with its present size; closes its descriptor."""
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):  # it was replaced since
                return
            identity = (status.st_dev, status.st_ino)
            if status.st_nlink > 1 and identity in self._paths:
                self._limits.count(0)
                self._write_header(_entry(path, status, "hardlink", link=self._paths[identity]))
                return
            self._paths[identity] = path
            self._limits.count(status.st_size)
            xattrs = _read_capabilities(file) if self._whole_root else {}
            self._write_header(_entry(path, status, "file", size=status.st_size, xattrs=xattrs))
            self._copy(file, status.st_size)
        finally:
            os.close(file)

    def _copy(self, file: int, size: int) -> None:
        """Copy exactly ``size`` bytes; what a file lost meanwhile is filled with zeros."""
        remaining = size
        while remaining:
            data = os.read(file, min(_CHUNK, remaining)) or bytes(min(_CHUNK, remaining))
            write_all(self._sink, data)
            remaining -= len(data)
        write_all(self._sink, bytes(tar.padding_size(size)))

    def _add_mount_point(self, path: str, status: os.stat_result) -> None:
        """Add an empty directory or file: what is mounted there is not part of the image."""
        is_directory = stat.S_ISDIR(status.st_mode)
        mode = 0o755 if is_directory else 0o644
        self._write_header(Entry(path, "dir" if is_directory else "file", mode, xattrs=self._mark))

    def _write_header(self, entry: Entry) -> None:
        write_all(self._sink, tar.encode_header(entry))


def _is_mount_point(directory: int, name: str) -> bool:
    try:
        os.close(syscalls.open_on_mount(directory, name))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return True
    return False


def _entry_kind(status: os.stat_result) -> Kind | None:
    """Return what a file is, None for a socket."""
    return next((kind for number, kind in _KINDS if stat.S_IFMT(status.st_mode) == number), None)


def _entry(
    path: str,
    status: os.stat_result,
    kind: Kind,
    *,
    size: int = 0,
    link: str = "",
    xattrs: dict[str, bytes] | None = None,
) -> Entry:
    is_device = kind in ("char", "block")
    return Entry(
        path,
        kind,
        stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=int(status.st_mtime),
        size=size,
        link=link,
        xattrs=xattrs or {},
        device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if is_device else (0, 0),
    )


def _read_capabilities(file: int) -> dict[str, bytes]:
    try:
        return {_CAPABILITIES: os.getxattr(file, _CAPABILITIES)}
    except OSError:
        return {}
