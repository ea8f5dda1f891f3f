"""Opens regular files at untrusted paths without blocking on pipes or touching devices."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from pumice.errors import FormatError, ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def read_failures(where: str | os.PathLike[str]) -> Iterator[None]:
    """Raise an OSError of the block as an ImageError with the location ``where``."""
    try:
        yield
    except OSError as error:
        is_denied = error.errno in (errno.EACCES, errno.EPERM)
        hint = "check who may read it and enter the directories above it" if is_denied else None
        reason = (error.strerror or str(error)).lower()
        raise ImageError(f"cannot read the file: {reason}", where=os.fspath(where), hint=hint) from error


def is_regular(status: os.stat_result) -> bool:
    """Return whether a status is that of a regular file."""
    return stat.S_ISREG(status.st_mode)


def open_regular(path: Path) -> BinaryIO | None:
    """Open a file for reading; return None if it does not exist; raises ImageError for a pipe or device."""
    with read_failures(path):
        try:
            if not is_regular(path.stat()):  # opening a device can have effects
                raise ImageError("not a regular file", where=str(path))
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not is_regular(os.fstat(descriptor)):
            os.close(descriptor)
            raise ImageError("not a regular file", where=str(path))
        return os.fdopen(descriptor, "rb")


def read_small(path: Path, limit: int) -> bytes | None:
    """Return a file's content, None if it does not exist; raises FormatError beyond ``limit`` bytes."""
    file = open_regular(path)
    if file is None:
        return None
    with file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise FormatError(f"the file is larger than {limit} bytes", where=str(path))
    return data
