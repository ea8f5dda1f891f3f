"""Translate errors of the operating system into errors for a person: one sentence, the place, a hint.

A `Translation` says what an OSError means for one kind of place: the class of the error, and what a
person can do. The reasons themselves are the same everywhere.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pumice.errors import FormatError, ImageError, PumiceError, StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NO_SPACE = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""The errors that go away when there is more space, or a larger limit."""

_REASONS: Mapping[int, str] = {
    errno.ENOSPC: "no space left on the device",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EFBIG: "the file would be larger than the limit",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files",
    errno.EIO: "the device failed to read or write",
    errno.ELOOP: "too many levels of symbolic links",
    errno.ENAMETOOLONG: "the file name is too long",
    getattr(errno, "EDQUOT", errno.ENOSPC): "disk quota exceeded",
}
_FREE_SPACE = "free some space, for example with 'pumice gc --all'"
_RAISE_OPEN_FILES = "raise the limit with 'ulimit -n'"
_RAISE_FILE_SIZE = "raise the limit with 'ulimit -f'"


def suggest_path(path: str | os.PathLike[str]) -> str:
    """Return a hint for a path that cannot be read: the most similar name in its directory."""
    from difflib import get_close_matches

    missing_path = Path(path)
    try:
        names = sorted(entry.name for entry in missing_path.parent.iterdir())
    except (OSError, ValueError):
        return f"check the directory {str(missing_path.parent)[:200]!r}"
    if missing_path.name in names:
        return "check its type and permissions"
    close = get_close_matches(missing_path.name[:100], names[:1000], n=1)
    return f"did you mean {missing_path.with_name(close[0])}?" if close else "check the path"


def read_user_file(
    path: str | os.PathLike[str],
    what: str,
    limit: int,
    error: type[PumiceError] = UsageError,
    *,
    hint: str | None = None,
) -> bytes:
    """Return the content of a file that a person named, of at most ``limit`` bytes (KiB or MiB).

    ``what`` says in errors what the file is. Raises ``error`` with ``hint`` (default: that of
    `suggest_path`) if the file cannot be read, and FormatError if it is larger.
    """
    where = os.fspath(path)[:200]
    try:
        with Path(path).open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as failure:
        reason = (getattr(failure, "strerror", None) or str(failure)).lower()
        raise error(
            f"cannot read the {what}: {reason}", where=where, hint=hint or suggest_path(path)
        ) from None
    if len(data) > limit:
        size = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit >> 10} KiB"
        raise FormatError(f"the {what} is larger than {size}", where=where, hint="check the path")
    return data


class Translation(NamedTuple):
    """What OSErrors mean for one kind of place.

    ``hints`` and ``reasons`` are by errno; a reason here goes before the one for all places.
    ``no_space`` is the class for `NO_SPACE`, if that differs from ``error``.
    """

    error: type[PumiceError]
    hints: Mapping[int, str]
    reasons: Mapping[int, str] = {}
    prefix: str = ""
    no_space: type[PumiceError] | None = None

    def translate(self, error: OSError, where: str | os.PathLike[str]) -> PumiceError:
        """Return the error for a person that stands for ``error``, which concerns ``where``."""
        number = error.errno or 0
        reason = self.reasons.get(number) or _REASONS.get(number) or _format_system_reason(error)
        cls = (number in NO_SPACE and self.no_space) or self.error
        return cls(self.prefix + reason, where=os.fspath(where), hint=self.hints.get(number))


def _format_system_reason(error: OSError) -> str:
    text = (error.strerror or str(error) or "unknown error").strip().rstrip(".")
    return text[:1].lower() + text[1:]


def _complete_hints(hints: dict[int, str]) -> Mapping[int, str]:
    """Complete ``hints``: the errors of each pair are one to a person."""
    for number, equivalent in (
        (errno.EPERM, errno.EACCES),
        (errno.ENFILE, errno.EMFILE),
        (getattr(errno, "EDQUOT", errno.ENOSPC), errno.ENOSPC),
    ):
        if equivalent in hints:
            hints.setdefault(number, hints[equivalent])
    return hints


STORE = Translation(
    StoreError,
    _complete_hints(
        {
            errno.ENOSPC: _FREE_SPACE,
            errno.EROFS: "set PUMICE_HOME to a writable directory",
            errno.EACCES: "check who owns it, or set PUMICE_HOME to a directory that you can write to",
            errno.EFBIG: _RAISE_FILE_SIZE,
            errno.EMFILE: _RAISE_OPEN_FILES,
            errno.EIO: "check the disk, then run 'pumice store verify --repair'",
        }
    ),
)
"""For the local store, whose place can be chosen."""

USER_FILE = Translation(
    StoreError,
    _complete_hints(
        {
            **STORE.hints,
            errno.EROFS: "write it to another directory",
            errno.EACCES: "check who owns the file and its directory",
            errno.EPERM: "check who owns the file and its directory",
            errno.EIO: "check the disk",
        }
    ),
    prefix="cannot write the file: ",
)
"""For a file of the user outside the store."""

IMAGE = Translation(
    ImageError,
    _complete_hints(
        {
            errno.ENOSPC: "free some space, then run the same command again",
            errno.EROFS: "choose another destination",
            errno.EACCES: "choose a destination that you own",
            errno.ENOENT: "create it first",
            errno.EISDIR: "add a file name",
        }
    ),
    reasons={
        errno.ENOENT: "the parent directory does not exist",
        errno.ENOTDIR: "a file exists where a directory is needed",
        errno.EEXIST: "a file exists where a directory would be written",
        errno.EISDIR: "a directory exists where a file would be written",
    },
)
"""For the destination of an image."""


@contextmanager
def translate_os_errors(where: str | os.PathLike[str], translation: Translation = STORE) -> Iterator[None]:
    """Raise an OSError of the block as the error that ``translation`` makes of it for ``where``.

    A BrokenPipeError is not translated: the reader of the output has left, which is not a failure.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise translation.translate(error, where) from error
