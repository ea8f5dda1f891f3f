"""Reads a release from a directory or an archive, checks it, and remembers the result by its digest."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import digest
from pumice.cache_keys import cache_key
from pumice.decoding import decode_msgpack
from pumice.errors import Problem, SliceError, StoreError
from pumice.files import file_stamp, open_regular
from pumice.formats import yaml
from pumice.slices import conflicts, names
from pumice.slices.definitions import read_definition
from pumice.slices.model import Maintenance, PackageSlices, Release
from pumice.slices.release_file import FILE_NAME, read_release_file
from pumice.slices.values import ValueReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pumice.digest import Digest
    from pumice.slices.model import Slice
    from pumice.store.home import Home

MAX_FILES = 20_000
MAX_FILE = yaml.MAX_BYTES
MAX_TOTAL = 256 << 20
_MAX_DEPTH = 16
_MAX_PROBLEMS = 50
_SLICES = "slices"


class ReleaseFiles(msgspec.Struct, frozen=True):
    """The files of a release, by their path in it; those of an overlay have its name in front.

    ``places`` are their paths for messages.
    """

    contents: dict[str, bytes]
    places: dict[str, str]

    @property
    def digest(self) -> Digest:
        """The digest of all files with their paths."""
        hasher = hashlib.sha256()
        for path in sorted(self.contents):
            content_digest = hashlib.sha256(self.contents[path]).hexdigest()
            hasher.update(f"{content_digest}  {path}\n".encode())
        return digest.from_hex(hasher.hexdigest())


class _Remembered(msgspec.Struct, frozen=True):
    digest: str


def load_release(
    location: Path, overlays: Sequence[Path] = (), home: Home | None = None, *, check_all: bool = True
) -> Release:
    """Return the release in a directory or a tar archive, with its digest.

    The definitions of ``overlays`` replace those of the same package; the first overlay wins. Without
    ``check_all`` the slices are not checked against each other, so that the caller can check some of them
    (`check_closure`). With ``home``, a release that is known is not read again. Raises SliceError with all
    problems, or StoreError.
    """
    stamp_key = _stamp_key(location, overlays) if home else None
    known_digest = _recall_digest(home, stamp_key)
    if known_digest and (release := _recall(home, known_digest)) is not None:
        return release
    files = read_files(location, overlays)
    release_digest = files.digest
    release = _recall(home, release_digest)
    if release is None:
        release, problems = parse_release(files.contents)
        problems = problems or (conflicts.find_conflicts(release) if check_all else [])
        if problems:
            raise SliceError([_with_place(problem, files) for problem in sort_problems(problems)])
        release = msgspec.structs.replace(release, digest=release_digest)
        if home and check_all:
            home.records.put("slices", cache_key("slices", release_digest), msgspec.msgpack.encode(release))
    if home and stamp_key and check_all:
        remembered = msgspec.msgpack.encode(_Remembered(release_digest))
        home.records.put("slices", stamp_key, remembered)
    return release


def _with_place(problem: Problem, files: ReleaseFiles) -> Problem:
    """Return a problem whose location is a path that an editor can open."""
    file, line, column = _split_location(problem.where or "")
    position = f":{line}:{column}" if line else ""
    return Problem(problem.message, where=files.places.get(file, file) + position, hint=problem.hint)


def _recall(home: Home | None, release_digest: Digest) -> Release | None:
    data = home.records.get("slices", cache_key("slices", release_digest)) if home else None
    if data is None:
        return None
    try:
        return decode_msgpack(data, Release)
    except msgspec.MsgspecError:  # written by another version of Pumice
        return None


def _recall_digest(home: Home | None, stamp_key: Digest | None) -> Digest:
    data = home.records.get("slices", stamp_key) if home and stamp_key else None
    if data is None:
        return ""
    try:
        return decode_msgpack(data, _Remembered).digest
    except msgspec.MsgspecError:
        return ""


def _stamp_key(location: Path, overlays: Sequence[Path]) -> Digest | None:
    """Return a key that changes with any file of a release, without reading them."""
    stamps: list[object] = []
    try:
        for folder in (location, *overlays):
            if folder.is_dir():
                stamps += [
                    [os.path.realpath(folder), path, *file_stamp(status)]
                    for path, status in _list_files(folder, is_overlay=folder is not location)
                ]
            else:
                stamps.append([os.path.realpath(folder), "", *file_stamp(folder.stat())])
    except (OSError, SliceError):
        return None
    return cache_key("slices", stamps)


def read_files(location: Path, overlays: Sequence[Path] = ()) -> ReleaseFiles:
    """Return the files of a release and its overlays; raises SliceError or StoreError."""
    if location.is_dir():
        contents = dict(_read_directory(location, is_overlay=False))
    elif location.exists():
        from pumice.slices.release_archive import read_archive

        contents = read_archive(location)
    else:
        raise StoreError("the release does not exist", where=str(location), hint="check the path")
    if FILE_NAME not in contents:
        raise SliceError(
            [Problem(f"there is no {FILE_NAME}", where=str(location), hint="is this a release of slices?")]
        )
    places = {path: f"{location}/{path}" for path in contents}
    replaced: set[str] = set()
    overlaid: dict[str, bytes] = {}
    for overlay in overlays:
        if not overlay.is_dir():
            raise StoreError("the overlay is not a directory", where=str(overlay))
        added = dict(_read_directory(overlay, is_overlay=True))
        for path, data in added.items():
            if _file_name(path) not in replaced:
                overlaid[f"{overlay.name}/{path}"] = data
                places[f"{overlay.name}/{path}"] = f"{overlay}/{path}"
        replaced |= {_file_name(path) for path in added}
    kept = {
        path: data for path, data in contents.items() if path == FILE_NAME or _file_name(path) not in replaced
    }
    return ReleaseFiles(kept | overlaid, places)


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]


def _read_directory(folder: Path, *, is_overlay: bool) -> Iterator[tuple[str, bytes]]:
    total = 0
    for path, status in _list_files(folder, is_overlay=is_overlay):
        if status.st_size > MAX_FILE:
            raise _file_error(f"the file is larger than {MAX_FILE >> 20} MiB", folder / path)
        try:
            with open_regular(folder / path) as file:
                data = file.read(MAX_FILE + 1)
        except OSError as error:
            raise _file_error(
                f"cannot read the file: {(error.strerror or '').lower()}", folder / path
            ) from None
        total += len(data)
        if total > MAX_TOTAL:
            raise _file_error(f"the release is larger than {MAX_TOTAL >> 20} MiB", folder)
        yield path, data


def _list_files(folder: Path, *, is_overlay: bool) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files of a release by their relative paths: ``chisel.yaml``, and all below ``slices``."""
    if not is_overlay:
        try:
            yield FILE_NAME, (folder / FILE_NAME).lstat()
        except FileNotFoundError:
            return
    count = 0
    pending = ["" if is_overlay and not (folder / _SLICES).is_dir() else _SLICES]
    while pending:
        relative = pending.pop()
        if relative.count("/") >= _MAX_DEPTH:
            raise _file_error(f"directories are nested more than {_MAX_DEPTH} deep", folder / relative)
        for path, status in _scan(folder, relative):
            if stat.S_ISDIR(status.st_mode):
                pending.append(path)
            elif path.endswith(".yaml"):
                if not stat.S_ISREG(status.st_mode):
                    raise _file_error("a definition must be a regular file", folder / path)
                count += 1
                if count > MAX_FILES:
                    raise _file_error(f"the release has more than {MAX_FILES} files", folder)
                yield path, status


def _scan(folder: Path, relative: str) -> list[tuple[str, os.stat_result]]:
    """Return the entries of a directory, sorted; links are not followed."""
    try:
        with os.scandir(folder / relative) as entries:
            items = sorted(entries, key=lambda entry: entry.name)
            return [
                (f"{relative}/{entry.name}".lstrip("/"), entry.stat(follow_symlinks=False)) for entry in items
            ]
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise _file_error(f"cannot read the directory: {reason}", folder / relative) from None


def _file_error(message: str, path: Path) -> SliceError:
    return SliceError([Problem(message, where=str(path))])


def parse_release(contents: Mapping[str, bytes]) -> tuple[Release, list[Problem]]:
    """Return the release in files by path, and the problems of each file on its own.

    If ``chisel.yaml`` has an unknown format, the other files are not read.
    """
    values = ValueReader()
    document = yaml.read_document(contents[FILE_NAME], FILE_NAME)
    values.problems += document.problems
    release_file = read_release_file(document.root, values) if not document.problems else None
    if release_file is None:
        return _EMPTY, values.problems
    packages: dict[str, PackageSlices] = {}
    for path in sorted(contents):
        if path == FILE_NAME:
            continue
        definition = _parse_definition(path, contents[path], release_file.format, values)
        if definition is None:
            continue
        earlier = packages.get(definition.name)
        if earlier:
            message = f"the slices of {definition.name} are defined twice"
            hint = f"the other definition is {earlier.file}"
            values.problems.append(Problem(message, where=path, hint=hint))
        packages[definition.name] = definition
    release = Release(
        format=release_file.format,
        maintenance=release_file.maintenance,
        archives=release_file.archives,
        packages=packages,
        notes=release_file.notes,
    )
    return release, values.problems


def _parse_definition(
    path: str, data: bytes, release_format: str, values: ValueReader
) -> PackageSlices | None:
    package = names.package_of_file(path.rpartition("/")[2])
    if not package:
        hint = "use the name of a package and '.yaml'"
        values.problems.append(
            Problem("the name of the file is not that of a package", where=path, hint=hint)
        )
        return None
    document = yaml.read_document(data, path)
    values.problems += document.problems
    if document.root is None and document.problems:
        return None
    return read_definition(document.root, package, path, release_format, values)


def sort_problems(problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems by file, line and column, each once, at most `_MAX_PROBLEMS` of them."""

    def key(problem: Problem) -> tuple[bool, str, int, int, str]:
        file, line, column = _split_location(problem.where or "")
        return file != FILE_NAME, file, line, column, problem.message

    unique = list({(problem.where, problem.message): problem for problem in problems}.values())
    unique.sort(key=key)
    if len(unique) > _MAX_PROBLEMS:
        remaining = len(unique) - _MAX_PROBLEMS
        unique[_MAX_PROBLEMS:] = [Problem(f"{remaining} more problems", hint="fix these first")]
    return unique


def _split_location(where: str) -> tuple[str, int, int]:
    rest, _, column = where.rpartition(":")
    file, _, line = rest.rpartition(":")
    if file and line.isdigit() and column.isdigit():
        return file, int(line), int(column)
    return where, 0, 0


def check_closure(release: Release, slices: Sequence[Slice]) -> None:
    """Raise SliceError if ``slices`` of a release conflict with each other."""
    problems = conflicts.find_conflicts(release, slices)
    if problems:
        raise SliceError(sort_problems(problems))


_EMPTY = Release(format="", maintenance=Maintenance("", ""), archives={}, packages={})
