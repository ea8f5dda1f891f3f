"""Write an output file atomically: it appears under its name when it is complete, or not at all.

`check_file` and `check_directory` find out, before the work starts, what could not be written after it.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pumice.errors import UsageError
from pumice.os_errors import IMAGE, Translation, translate_os_errors
from pumice.ownership import is_planted, resolve_links

if TYPE_CHECKING:
    from os import PathLike


class Output:
    """A file that is being written; leaving the context with an exception removes it.

    It has a temporary name in the same directory until then. Standard output (``-``), devices and pipes
    are written directly, because they cannot be renamed.
    """

    def __init__(self, path: str, stdout: BinaryIO | None = None) -> None:
        """``stdout`` is the stream for the path ``-``."""
        self._path = path
        self._stdout = stdout
        self._temporary: Path | None = None
        self._target = Path(path)
        self.file: BinaryIO

    @property
    def is_regular(self) -> bool:
        """Whether the file can be written at any position."""
        return self._temporary is not None

    def descriptor_path(self) -> Path:
        """Return a path of the file, for what opens it by name; raises UsageError for another than a file."""
        if not self.is_regular:
            raise UsageError("the output must be a file", where=self._path[:200])
        return Path(f"/proc/self/fd/{self.file.fileno()}")

    def __enter__(self) -> Output:
        if self._path == "-":
            self.file = _check_stdout(self._stdout)
            return self
        with translate_os_errors(self._path, IMAGE):
            self._target = Path(resolve_links(self._path))  # a link to the file stays a link
            mode = _check_mode(self._target)
            if stat.S_ISREG(mode):
                name = f".pumice-{os.urandom(8).hex()}"
                self.file = self._target.with_name(name).open("xb")
                self._temporary = self._target.with_name(name)
            else:
                self.file = self._target.open("wb")
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        try:
            with translate_os_errors(self._path, IMAGE):
                if self._path == "-":
                    self.file.flush()
                    return
                self._close(failed=kind is not None)
                if kind is None and self._temporary is not None:
                    self._temporary.replace(self._target)
                    self._temporary = None
        finally:
            if self._temporary is not None:
                with suppress(OSError):
                    self._temporary.unlink()

    def _close(self, *, failed: bool) -> None:
        try:
            self.file.close()
        except OSError:
            if not failed:  # after a failure, the first error is the one to report
                raise

    def __str__(self) -> str:
        return self._path


def write_file(path: str | PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all; raises ImageError."""
    with Output(os.fspath(path)) as output:
        output.file.write(data)


def check_file(path: str | PathLike[str]) -> None:
    """Raise ImageError if `Output` could not write a file, as far as that is known before."""
    if path == "-":
        return
    with translate_os_errors(path, IMAGE):
        target = Path(resolve_links(path))
        is_replaced = stat.S_ISREG(_check_mode(target))  # by a file with a temporary name next to it
        require_writable(target.parent if is_replaced else target, is_directory=is_replaced)


def check_directory(
    path: str | PathLike[str], *, with_parents: bool = False, translation: Translation = IMAGE
) -> None:
    """Raise ImageError if files could not be added to a directory, which is made if there is none.

    ``with_parents`` says that the directories above it are made too, ``translation`` which error is raised.
    """
    with translate_os_errors(path, translation):
        directory = Path(resolve_links(path))
        while not os.path.lexists(directory) and directory.parent != directory:
            directory = directory.parent
            if not with_parents:
                break
        require_writable(directory)


def require_writable(path: Path, *, is_directory: bool = True) -> None:
    """Raise OSError for a directory or device that cannot be written to; nothing is changed."""
    status = path.stat()
    if is_directory and not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if os.access(path, os.W_OK | (os.X_OK if is_directory else 0)):
        return
    is_read_only = os.statvfs(path).f_flag & os.ST_RDONLY
    number = errno.EROFS if is_read_only else errno.EACCES
    raise OSError(number, os.strerror(number))


def _check_mode(target: Path) -> int:
    """Return the mode of the target; raises OSError for a directory, and for a planted pipe."""
    try:
        status = target.lstat()
    except FileNotFoundError:
        return stat.S_IFREG
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a directory")
    if stat.S_ISFIFO(status.st_mode) and is_planted(status, target.parent.stat(), os.geteuid()):
        raise PermissionError(errno.EACCES, "it is a pipe of another user")
    return status.st_mode


def _check_stdout(stdout: BinaryIO | None) -> BinaryIO:
    if stdout is None:
        raise UsageError("standard output cannot be a destination here")
    if stdout.isatty():
        raise UsageError(
            "cannot write an image to a terminal", hint="redirect standard output to a file or a pipe"
        )
    return stdout
