"""Change files atomically: a crash, a full disk or a second process never leaves a partial file.

Every change goes through the `FileSystem` protocol, so that tests can record the order of operations
and replay a crash after each one. Reading needs no protocol. Nothing here is specific to Linux.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import TYPE_CHECKING, Protocol

from pumice import ownership
from pumice.os_errors import USER_FILE, Translation, translate_os_errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader
    from types import ModuleType

    Callback = Callable[[], None]

fcntl: ModuleType | None
try:
    import fcntl as _fcntl
except ImportError:  # Windows: threads still exclude each other, processes do not
    fcntl = None
else:
    fcntl = _fcntl


def is_directory(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` leads to a directory; False for text that cannot be a path, such as a long one."""
    return os.path.isdir(path)


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` leads to a regular file; False for text that cannot be a path."""
    return os.path.isfile(path)


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file for reading, without waiting for a pipe or opening a device.

    Raises OSError, also if ``path`` is not a regular file.
    """
    _require_regular(os.stat(path), path)  # before opening, because opening a device can have effects
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        _require_regular(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


FileStamp = tuple[int, int, int, int]
"""What changes with a file's content: inode, size in bytes, mtime and ctime in nanoseconds."""


def file_stamp(status: os.stat_result) -> FileStamp:
    """Return the stamp by which an unchanged file is recognized without reading it."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _require_regular(status: os.stat_result, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", os.fspath(path))


class NewFile(Protocol):
    """A file that is being written."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of ``data``; raises OSError."""

    def sync(self) -> None:
        """Make what was written durable; return once it would survive a power failure."""

    def close(self) -> None:
        """Close the file; may be called twice."""


class FileSystem(Protocol):
    """The operations by which Pumice changes files. All methods raise OSError."""

    def create(self, path: str, mode: int = 0o644) -> NewFile:
        """Create a file that must not exist yet."""

    def rename(self, source: str, target: str) -> None:
        """Rename ``source`` to ``target`` atomically, replacing a file of that name."""

    def unlink(self, path: str) -> None:
        """Remove a file."""

    def make_directory(self, path: str, mode: int = ownership.SHARED_MODE) -> None:
        """Create a directory whose parent exists."""

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable; return once they would survive a power failure."""


class _OsFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes | bytearray | memoryview) -> None:
        written_size = os.write(self._descriptor, data)
        if written_size < len(data):  # interrupted by a signal, at a limit, or on a nearly full disk
            view = memoryview(data)
            while written_size < len(data):
                written_size += os.write(self._descriptor, view[written_size:])

    def sync(self) -> None:
        _sync(self._descriptor)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class OsFileSystem:
    """The file system of the operating system."""

    def create(self, path: str, mode: int = 0o644) -> NewFile:
        """Create a file that must not exist yet."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        return _OsFile(os.open(path, flags, mode))

    def rename(self, source: str, target: str) -> None:
        """Rename ``source`` to ``target`` atomically, replacing a file of that name."""
        os.replace(source, target)

    def unlink(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)

    def make_directory(self, path: str, mode: int = ownership.SHARED_MODE) -> None:
        """Create a directory whose parent exists."""
        os.mkdir(path, mode)

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable, where the system can (Windows cannot)."""
        if os.name == "nt":
            return
        descriptor = os.open(path, os.O_RDONLY)
        try:
            _sync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
                raise
        finally:
            os.close(descriptor)


OS: FileSystem = OsFileSystem()
"""The file system to use unless a test brings its own."""


def _sync(descriptor: int) -> None:
    if sys.platform == "darwin" and fcntl is not None:  # where fsync stops at the drive's cache
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError:
            pass
        else:
            return
    os.fsync(descriptor)


def sync_file(path: str) -> None:
    """Make the content of a file durable; return once it would survive a power failure. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def scratch_name() -> str:
    """Return a unique file name for a temporary file."""
    return f"{os.getpid()}-{os.urandom(8).hex()}"


def replace(
    path: str | os.PathLike[str],
    data: bytes | bytearray,
    *,
    fs: FileSystem = OS,
    mode: int = 0o644,
    translation: Translation = USER_FILE,
) -> None:
    """Replace the content of ``path`` with ``data``, durably and atomically.

    The umask applies to ``mode``, as for any new file. Raises what ``translation`` makes of an OSError, and
    then leaves no scratch file.
    """
    target = os.fspath(path)
    folder, name = os.path.split(target)
    # In the same directory, because a rename must stay in one file system; shortened to fit NAME_MAX.
    scratch = os.path.join(folder, f".{name[:200]}.{scratch_name()}")
    with translate_os_errors(target, translation):
        install(scratch, target, data, fs=fs, mode=mode)
        fs.sync_directory(folder or os.curdir)


def install(
    scratch: str,
    target: str,
    data: bytes | bytearray,
    *,
    fs: FileSystem,
    mode: int = 0o644,
    sync: bool = True,
) -> None:
    """Write ``data`` to ``scratch`` and rename that to ``target``; the directory is not synced.

    Raises OSError, and then removes ``scratch``.
    """
    file = fs.create(scratch, mode)
    try:
        try:
            file.write(data)
            if sync:
                file.sync()
        finally:
            file.close()
        fs.rename(scratch, target)
    except BaseException:
        unlink_quietly(scratch, fs)
        raise


def unlink_quietly(path: str, fs: FileSystem = OS) -> None:
    """Remove a file, ignoring failures: use it where a leftover does no harm."""
    try:
        fs.unlink(path)
    except OSError:
        pass


_LOCK_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""The error numbers by which a file system says that it has no locks."""


class FileLock:
    """An advisory lock on a file, exclusive or shared (flock(2)).

    Each instance opens the file itself, so threads exclude each other as processes do. The kernel
    releases the lock when the process ends; the file remains and has no meaning of its own. Where
    there are no such locks (Windows, some network file systems) it excludes nobody.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1

    def acquire(self, *, shared: bool = False, waiting: Callback | None = None) -> None:
        """Acquire the lock; ``waiting`` is called once if another holder must be waited for.

        Raises StoreError. On a read-only file system, a missing lock file is not needed: nobody can
        change anything there.
        """
        if fcntl is None:
            return
        with translate_os_errors(self._path):
            descriptor = self._open()
            if descriptor < 0:
                return
            try:
                _flock(fcntl, descriptor, shared, waiting)
            except BaseException:
                os.close(descriptor)
                raise
            self._descriptor = descriptor

    def try_acquire(self) -> bool:
        """Acquire the lock exclusively if nobody holds it; return whether it is held now.

        Raises StoreError.
        """
        if fcntl is None:
            return True
        with translate_os_errors(self._path):
            descriptor = self._open()
            if descriptor < 0:
                return False
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    os.close(descriptor)
                    raise
            self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Release the lock, if it is held."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.release()

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()

    def _open(self) -> int:
        try:
            return os.open(self._path, _LOCK_FLAGS | os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
        try:
            return os.open(self._path, _LOCK_FLAGS | os.O_RDONLY)
        except OSError:
            return -1


def lock_open(descriptor: int, *, shared: bool = False) -> None:
    """Lock an open file or directory until it is closed; do nothing if its file system has no locks."""
    if fcntl is not None:
        _flock(fcntl, descriptor, shared, None)


def is_locked(path: str, *, shared: bool = False) -> bool:
    """Return whether another process holds a lock on the file or directory; False if that is unknown.

    With ``shared``, only an exclusive lock counts, and others that look in this way are not disturbed.
    """
    if fcntl is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _flock(module: ModuleType, descriptor: int, shared: bool, waiting: Callback | None) -> None:
    operation = module.LOCK_SH if shared else module.LOCK_EX
    try:
        module.flock(descriptor, operation | module.LOCK_NB)
    except BlockingIOError:
        if waiting is not None:
            waiting()
        module.flock(descriptor, operation)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
