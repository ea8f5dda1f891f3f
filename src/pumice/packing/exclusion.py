"""Segments without the paths that the recipe excludes, rewritten from their own bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.cache_keys import cache_key
from pumice.packing.segments import DPKG_INFO_DIRECTORY, SegmentChanges, change_segment, content_reader
from pumice.packing.selection import merged_usr_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pumice.digest import Digest
    from pumice.packing.excluded_paths import ExcludedPaths
    from pumice.packing.segments import Segment
    from pumice.store.blobs import Blobs


def excluded_segment_key(original_key: Digest, excluded: ExcludedPaths) -> Digest:
    """Return the cache key of a segment without ``excluded`` paths."""
    return cache_key("segment", original_key, "exclude", excluded)


def exclude_paths(segment: Segment, excluded: ExcludedPaths, blobs: Blobs) -> Segment:
    """Return ``segment`` without the ``excluded`` paths, which dpkg's files no longer list either.

    The package's paragraph in dpkg's ``status`` says that it is partial. Raises FormatError for a damaged
    segment.
    """
    paths = {*excluded.files, *excluded.directories}

    def stays(path: str) -> bool:
        return merged_usr_path(path.strip("/")) not in paths

    contents: dict[str, bytes] = {}
    hidden = list(paths)
    read_content = content_reader(segment, blobs)
    for item in segment.items:
        path = item.entry.path
        suffix = path.rpartition(".")[2] if path.startswith(f"{DPKG_INFO_DIRECTORY}/") else ""
        if suffix not in _DPKG_LISTS:
            continue
        content = read_content(path)
        contents[path] = _filter_lines(content, suffix, stays)
        if suffix == "conffiles" and not contents[path]:
            hidden.append(path)
    facts = segment.facts
    files = dict(facts.files)
    if "conffiles" in files:
        files["conffiles"] = _filter_lines(files["conffiles"], "conffiles", stays)
    conffiles = {path: digest for path, digest in facts.conffiles.items() if stays(path)}
    changes = SegmentChanges(hide=tuple(sorted(hidden)), contents=contents)
    return msgspec.structs.replace(
        change_segment(segment, changes, blobs),
        facts=msgspec.structs.replace(
            facts, fields=_mark_partial(facts.fields, len(excluded.files)), files=files, conffiles=conffiles
        ),
    )


def _mark_partial(fields: Mapping[str, str], excluded_files: int) -> dict[str, str]:
    """Return a control paragraph that says how many files of the package are left out.

    dpkg keeps a field that it does not know; ``dpkg --list`` and SBOM tools show the first line of the
    description.
    """
    if not excluded_files:
        return dict(fields)
    count = f"{excluded_files} {'file' if excluded_files == 1 else 'files'}"
    marked = dict(fields)
    for name in (name for name in fields if name.lower() == "description"):
        summary, newline, text = fields[name].partition("\n")
        marked[name] = f"{summary} (partial: {count} excluded){newline}{text}"
    return {**marked, "X-Pumice-Excluded": count}


_DPKG_LISTS = ("list", "md5sums", "conffiles")
"""The suffixes of dpkg's files that list the files of a package."""


def _filter_lines(content: bytes, suffix: str, stays: Callable[[str], bool]) -> bytes:
    """Return the lines of one of dpkg's files about a package whose paths stay."""
    lines = []
    for line in content.split(b"\n"):
        path = line.decode("utf-8", "surrogateescape")
        if suffix == "md5sums":
            path = path.partition("  ")[2].removeprefix("./")
        elif suffix == "conffiles":
            path = path[path.find("/") :].strip()  # a flag may precede it
        if stays(path):
            lines.append(line)
    return b"\n".join(lines)
