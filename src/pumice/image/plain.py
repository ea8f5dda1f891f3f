"""Plain files in places that somebody else arranged: opened without blocking or being led astray."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, BinaryIO

from pumice.errors import FormatError, ImageError
from pumice.image.output import failures

if TYPE_CHECKING:
    from pathlib import Path


def is_plain(found: os.stat_result) -> bool:
    """Whether a status is a plain file's."""
    return stat.S_ISREG(found.st_mode)


def open_plain(path: Path) -> BinaryIO | None:
    """Open a file for reading, None if there is none; raises ImageError for a pipe or device."""
    with failures(path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not is_plain(os.fstat(descriptor)):
            os.close(descriptor)
            raise ImageError("this is not a plain file", where=str(path))
        return os.fdopen(descriptor, "rb")


def read_small(path: Path, limit: int) -> bytes | None:
    """Return a file's content, None if there is none; raises FormatError beyond ``limit`` bytes."""
    file = open_plain(path)
    if file is None:
        return None
    with file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise FormatError(f"the file is larger than {limit} bytes", where=str(path))
    return data
