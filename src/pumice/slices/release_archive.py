"""Reads a release from a tar archive, such as that of a branch of a git repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import FormatError, Problem, SliceError
from pumice.files import open_regular
from pumice.formats import tar
from pumice.formats.compression import DecompressedStream
from pumice.formats.yaml import MAX_BYTES
from pumice.slices.release_file import FILE_NAME

if TYPE_CHECKING:
    from pumice.formats.tar import Source

_MAX_TOTAL = 256 << 20
_MAX_FILES = 20_000


def read_archive(path: Path) -> dict[str, bytes]:
    """Return the files of the release in a tar archive by their path in it.

    A single directory around the release, which archives of repositories have, is left out. Raises SliceError
    for an archive that is damaged, too large or has links for definitions.
    """
    try:
        with open_regular(path) as file:
            stream = DecompressedStream(file, limit=_MAX_TOTAL)
            contents = _read_entries(stream, str(path))
    except FormatError as error:
        raise SliceError([Problem(error.message, where=str(path), hint=error.hint)]) from None
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise SliceError([Problem(f"cannot read the archive: {reason}", where=str(path))]) from None
    return _strip_directory(contents)


def _read_entries(stream: Source, where: str) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    for entry, body in tar.read_entries(stream, skip_global_headers=True):
        name = entry.path.rpartition("/")[2]
        if not name.endswith(".yaml") or entry.kind == "dir":
            continue
        place = f"{where}: {entry.path}"
        if entry.kind != "file":
            if f"/{entry.path}".find("/slices/") < 0:
                continue
            raise SliceError([Problem("a definition must be a regular file", where=place)])
        if entry.size > MAX_BYTES:
            raise SliceError([Problem(f"the file is larger than {MAX_BYTES >> 20} MiB", where=place)])
        if len(contents) >= _MAX_FILES:
            raise SliceError([Problem(f"the release has more than {_MAX_FILES} files", where=where)])
        contents[entry.path] = body.read(entry.size)
    return contents


def _strip_directory(contents: dict[str, bytes]) -> dict[str, bytes]:
    candidates = sorted(
        (path for path in contents if path.rpartition("/")[2] == FILE_NAME and path.count("/") <= 1),
        key=lambda path: path.count("/"),
    )
    prefix = candidates[0].removesuffix(FILE_NAME) if candidates else ""
    return {
        path.removeprefix(prefix): data
        for path, data in contents.items()
        if path == prefix + FILE_NAME or path.startswith(f"{prefix}slices/")
    }
