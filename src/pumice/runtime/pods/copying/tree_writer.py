"""Creates the files of a tar archive in a directory that another process may change at the same time."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.errors import FormatError, PodError
from pumice.formats import tar
from pumice.runtime.pods.copying.limits import CopyLimits
from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.descriptors import write_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.formats.tar import Body, Entry, Source

_CHUNK = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_TIME = 1 << 33
_SET_IDS = stat.S_ISUID | stat.S_ISGID
_REFUSED = frozenset({errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP, errno.EOVERFLOW})


class WriteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Where to write: ``target`` in the root, whose own links are followed.

    As with cp(1), the first entry goes into ``target`` if that is a directory, and becomes ``target`` if it
    does not exist. With ``contents``, the content of the directory that the first entry is goes there; with
    ``unpack``, all entries go below ``target``, which must be a directory. Everything gets
    ``owner``; "keep" keeps the owners of the entries, and "caller" the present user, without set-ID bits.
    ``overwrite`` replaces directories by files and files by directories.
    """

    target: str
    contents: bool = False
    unpack: bool = False
    owner: tuple[int, int] | Literal["keep", "caller"] = "caller"
    overwrite: bool = False
    max_bytes: int = 0


def read_tree(root: int, request: WriteRequest, source: Source) -> int:
    """Create the entries of a tar archive below the directory ``root``; return how many were left out.

    Devices are left out, and links to files that the archive does not have. Raises OSError, PodError if the
    target is of the wrong kind, and FormatError for a malformed archive.
    """
    writer: _TreeWriter | None = None
    first = ""
    for entry, body in tar.read_entries(source, skip_global_headers=True):
        if writer is None:
            base, name = _choose_base(root, request, entry)
            first = entry.path
            writer = _TreeWriter(base, request)
        path = entry.path if request.unpack else _rename(entry.path, first, name)
        link = entry.link if request.unpack or entry.kind != "hardlink" else _rename(entry.link, first, name)
        writer.add(msgspec.structs.replace(entry, path=path, link=link), body)
    if writer is None:
        if not request.unpack:
            raise FormatError("the archive is empty")
        return 0
    writer.finish()
    return writer.omitted


def _choose_base(root: int, request: WriteRequest, entry: Entry) -> tuple[int, str]:
    """Return a descriptor of the directory to write into, and the new path of the first entry there."""
    is_directory = entry.kind == "dir"
    base = _open_directory(root, request.target)
    if base is not None:
        return base, "" if request.contents and is_directory else entry.path.rpartition("/")[2]
    if request.unpack:
        raise PodError(f"{request.target[:200]!r} is not a directory")
    parent, _, name = request.target.rstrip("/").rpartition("/")
    if request.target.endswith("/") and not is_directory:
        raise PodError(f"the directory {request.target[:200]!r} does not exist")
    base = _open_directory(root, parent or "/")
    if base is None or name in ("", ".", ".."):
        raise PodError(f"the directory {parent[:200]!r} does not exist", hint="create it first")
    return base, name


def _open_directory(root: int, path: str) -> int | None:
    """Return a descriptor of a directory, None if there is nothing or something else."""
    try:
        return syscalls.open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _rename(path: str, first: str, name: str) -> str:
    """Return ``path``, which is ``first`` or below it, with ``name`` instead."""
    if path == first:
        return name
    prefix = f"{first}/" if first else ""
    if not path.startswith(prefix):
        raise FormatError(f"the archive has {path[:200]!r}, which is not below {first[:200]!r}")
    rest = path.removeprefix(prefix)
    return f"{name}/{rest}" if name else rest


class _TreeWriter:
    """A directory that entries are written into; paths are relative to it and no link in them is followed."""

    def __init__(self, base: int, request: WriteRequest) -> None:
        self._base = base
        self._owner = request.owner
        self._overwrite = request.overwrite
        self._limits = CopyLimits(request.max_bytes) if request.max_bytes else CopyLimits()
        self._directories: dict[str, Entry] = {}
        self.omitted = 0

    def add(self, entry: Entry, body: Body) -> None:
        """Create one entry."""
        self._limits.count(entry.size, entry.path.count("/"))
        if entry.kind == "dir":
            self._add_directory(entry)
            return
        if not entry.path:
            raise FormatError("the archive has a file without a name")
        if entry.kind in ("char", "block"):
            self.omitted += 1
            return
        parent_path, _, name = entry.path.rpartition("/")
        parent = self._open(parent_path, create=True)
        try:
            self._make_room(parent, name)
            temporary = f".pumice-{os.urandom(8).hex()}"
            if self._create(parent, temporary, entry, body):
                self._install(parent, temporary, name)
            else:
                self.omitted += 1
        finally:
            os.close(parent)

    def finish(self) -> None:
        """Set the modes and times of the directories, after all entries were created."""
        for path in reversed(self._directories):
            entry = self._directories[path]
            directory = self._open(path)
            self._set_attributes(directory, entry)
            os.close(directory)
        os.close(self._base)

    def _add_directory(self, entry: Entry) -> None:
        if not entry.path:  # the attributes of a directory that exists are not changed
            return
        parent_path, _, name = entry.path.rpartition("/")
        parent = self._open(parent_path, create=True)
        try:
            status = _lstat(parent, name)
            if status is not None and not stat.S_ISDIR(status.st_mode):
                if not self._overwrite:
                    raise _conflict(entry.path, "a file exists where a directory would be written")
                os.unlink(name, dir_fd=parent)
                status = None
            if status is None:
                os.mkdir(name, 0o700, dir_fd=parent)
                self._directories[entry.path] = entry
        finally:
            os.close(parent)

    def _open(self, path: str, *, create: bool = False) -> int:
        """Return a descriptor of a directory below the base."""
        descriptor = os.dup(self._base)
        for name in filter(None, path.split("/")):
            try:
                try:
                    child = os.open(name, _DIRECTORY, dir_fd=descriptor)
                except FileNotFoundError:
                    if not create:
                        raise
                    os.mkdir(name, 0o755, dir_fd=descriptor)
                    child = os.open(name, _DIRECTORY, dir_fd=descriptor)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise _conflict(path, "a link or a file is in the way of a directory") from None
                raise
            finally:
                os.close(descriptor)
            descriptor = child
        return descriptor

    def _make_room(self, parent: int, name: str) -> None:
        """Raise PodError if a directory is in the way, or remove it."""
        status = _lstat(parent, name)
        if status is None or not stat.S_ISDIR(status.st_mode):
            return
        if not self._overwrite:
            raise _conflict(name, "a directory exists where a file would be written")
        shutil.rmtree(name, dir_fd=parent)

    def _create(self, parent: int, name: str, entry: Entry, body: Body) -> bool:
        """Create a file, link or pipe with a temporary name; return False if it was left out."""
        if entry.kind == "file":
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(name, flags, 0o600, dir_fd=parent)
            try:
                while data := body.read(_CHUNK):
                    write_all(file, data)
                self._set_attributes(file, entry)
            except BaseException:
                os.unlink(name, dir_fd=parent)
                raise
            finally:
                os.close(file)
        elif entry.kind == "symlink":
            os.symlink(entry.link, name, dir_fd=parent)
            self._give(entry, lambda uid, gid: os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False))
        elif entry.kind == "fifo":
            os.mkfifo(name, entry.mode & 0o777, dir_fd=parent)
            self._give(entry, lambda uid, gid: os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False))
        else:
            return self._link(parent, name, entry)
        return True

    def _link(self, parent: int, name: str, entry: Entry) -> bool:
        source_path, _, source_name = entry.link.rpartition("/")
        try:
            source = self._open(source_path)
        except (FileNotFoundError, PodError):
            return False
        try:
            status = _lstat(source, source_name)
            if status is None or not stat.S_ISREG(status.st_mode):
                return False
            os.link(source_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)
        return True

    @staticmethod
    def _install(parent: int, temporary: str, name: str) -> None:
        """Give a new file its name, in place of a file that has it."""
        try:
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        except OSError as error:
            try:
                if error.errno != errno.EBUSY:
                    raise
                _overwrite_mounted_file(parent, temporary, name)
            finally:
                os.unlink(temporary, dir_fd=parent)

    def _set_attributes(self, descriptor: int, entry: Entry) -> None:
        self._give(entry, lambda uid, gid: os.chown(descriptor, uid, gid))
        # After the change of the owner, which clears the set-ID bits.
        os.chmod(descriptor, entry.mode & ~_SET_IDS if self._owner == "caller" else entry.mode)
        mtime = min(max(entry.mtime, 0), _MAX_TIME)
        os.utime(descriptor, (mtime, mtime))

    def _give(self, entry: Entry, change_owner: Callable[[int, int], None]) -> None:
        if self._owner == "caller":
            return
        uid, gid = (entry.uid, entry.gid) if self._owner == "keep" else self._owner
        try:
            change_owner(uid, gid)
        except OSError as error:
            if error.errno not in _REFUSED:  # the container has only one user
                raise


def _overwrite_mounted_file(parent: int, temporary: str, name: str) -> None:
    """Copy a new file over the content of a file that is a mount point, which keeps its attributes."""
    source = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    target = os.open(
        name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, dir_fd=parent
    )
    try:
        if stat.S_ISREG(os.fstat(target).st_mode):
            os.ftruncate(target, 0)
            while data := os.read(source, _CHUNK):
                write_all(target, data)
    finally:
        os.close(source)
        os.close(target)


def _lstat(directory: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _conflict(path: str, reason: str) -> PodError:
    return PodError(f"cannot write {path[:200]!r}: {reason}", hint="pass --overwrite, or another destination")
