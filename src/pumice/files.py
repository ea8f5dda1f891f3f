"""Changing files so that a crash, a full disk or a second process never leaves half of anything.

What changes a file system goes through the `FileSystem` seam, so that tests can record the order
of the operations and replay every crash; reading needs no seam. Nothing here is particular to Linux.
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


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file for reading, without waiting for a pipe or touching a device.

    Raises OSError, also for anything that is not a regular file.
    """
    _require_regular(os.stat(path), path)  # before opening: that alone can make a device do something
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        _require_regular(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


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
        """Return when what was written would survive a power failure."""

    def close(self) -> None:
        """Let go of it; may be called twice."""


class FileSystem(Protocol):
    """Every way in which Pumice changes files. All methods raise OSError."""

    def create(self, path: str, mode: int = 0o644) -> NewFile:
        """Make a file that must not exist yet."""

    def rename(self, source: str, target: str) -> None:
        """Give ``source`` another name; a file that had it is gone, in one step."""

    def unlink(self, path: str) -> None:
        """Take a file's name away."""

    def make_directory(self, path: str, mode: int = ownership.SHARED_MODE) -> None:
        """Make a directory; its parent must exist."""

    def sync_directory(self, path: str) -> None:
        """Return when the names in a directory would survive a power failure."""


class _OsFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes | bytearray | memoryview) -> None:
        done = os.write(self._descriptor, data)
        if done < len(data):  # a signal, a limit, or a disk that is about to be full
            view = memoryview(data)
            while done < len(data):
                done += os.write(self._descriptor, view[done:])

    def sync(self) -> None:
        _sync(self._descriptor)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class OsFileSystem:
    """The operating system's own files."""

    def create(self, path: str, mode: int = 0o644) -> NewFile:
        """Make a file that must not exist yet."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        return _OsFile(os.open(path, flags, mode))

    def rename(self, source: str, target: str) -> None:
        """Give ``source`` another name."""
        os.replace(source, target)

    def unlink(self, path: str) -> None:
        """Take a file's name away."""
        os.unlink(path)

    def make_directory(self, path: str, mode: int = ownership.SHARED_MODE) -> None:
        """Make a directory."""
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
    if sys.platform == "darwin" and fcntl is not None:  # there, fsync stops at the drive's cache
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError:
            pass
        else:
            return
    os.fsync(descriptor)


def scratch_name() -> str:
    """Return a file name that nobody else has: for what is renamed or removed in a moment."""
    return f"{os.getpid()}-{os.urandom(8).hex()}"


def replace(
    path: str | os.PathLike[str],
    data: bytes | bytearray,
    *,
    fs: FileSystem = OS,
    mode: int = 0o644,
    translation: Translation = USER_FILE,
) -> None:
    """Make ``data`` the whole content of ``path``, durably: afterwards it is the old or the new, never a mix.

    ``mode`` is cut by the umask, as for any new file. Raises what ``translation`` makes of an OSError, and
    then leaves no scratch file.
    """
    target = os.fspath(path)
    folder, name = os.path.split(target)
    # Beside the target, because a rename must stay in one file system; cut, because names have a limit.
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
        forget(scratch, fs)
        raise


def forget(path: str, fs: FileSystem = OS) -> None:
    """Remove a file if that can be done; a leftover harms nobody, so failing to is no error."""
    try:
        fs.unlink(path)
    except OSError:
        pass


_LOCK_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""What a file system without locks answers."""


class FileLock:
    """An advisory lock on a file: one holder, or any number of shared ones.

    Each instance opens the file itself, so threads exclude each other as processes do. The system
    lets go of it when the process ends, however it ends; the file stays and means nothing. Where
    there are no such locks (Windows, some network file systems) it excludes nobody.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1

    def acquire(self, *, shared: bool = False, waiting: Callback | None = None) -> None:
        """Wait until the lock is ours; ``waiting`` is called once if that takes any time.

        Raises StoreError. On a file system that cannot be written to, a lock file that is missing
        is not needed: nobody can change anything there.
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

    def release(self) -> None:
        """Let go; may be called without holding it."""
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
    """Lock an open file or directory until it is closed; nothing where its file system has no locks."""
    if fcntl is not None:
        _flock(fcntl, descriptor, shared, None)


def is_locked(path: str) -> bool:
    """Say whether somebody holds a lock on the file or directory itself; False where that cannot be known."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _flock(module: ModuleType, descriptor: int, shared: bool, waiting: Callback | None) -> None:
    how = module.LOCK_SH if shared else module.LOCK_EX
    try:
        module.flock(descriptor, how | module.LOCK_NB)
    except BlockingIOError:
        if waiting is not None:
            waiting()
        module.flock(descriptor, how)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
