"""Segments without the paths that the recipe excludes, rewritten from their own bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.cache_keys import cache_key
from pumice.packing.package_lists import LIST_SUFFIXES, filter_list
from pumice.packing.segments import DPKG_INFO_DIRECTORY, SegmentChanges, change_segment, content_reader
from pumice.packing.selection import merged_usr_path

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from pumice.digest import Digest
    from pumice.packing.excluded_paths import ExcludedPaths
    from pumice.packing.segments import Segment
    from pumice.packing.tree import PackageFacts
    from pumice.store.blobs import Blobs


def excluded_segment_key(original_key: Digest, excluded: ExcludedPaths) -> Digest:
    """Return the cache key of a segment without ``excluded`` paths."""
    return cache_key("segment", original_key, "exclude", excluded)


def exclude_paths(segment: Segment, excluded: ExcludedPaths, blobs: Blobs) -> Segment:
    """Return ``segment`` without the ``excluded`` paths, which dpkg's files no longer list either.

    The package's paragraph in dpkg's ``status`` says that it is partial. Raises FormatError for a damaged
    segment.
    """
    facts = exclude_from_facts(segment.facts, excluded)
    facts = msgspec.structs.replace(facts, fields=_mark_partial(facts.fields, len(excluded.files)))
    changes = plan_exclusion(segment, excluded, blobs)
    return msgspec.structs.replace(change_segment(segment, changes, blobs), facts=facts)


def plan_exclusion(segment: Segment, excluded: ExcludedPaths, blobs: Blobs) -> SegmentChanges:
    """Return the changes that leave ``excluded`` paths out of a segment and of dpkg's lists in it."""
    paths = {*excluded.files, *excluded.directories}
    contents: dict[str, bytes] = {}
    hidden = list(paths)
    read_content = content_reader(segment, blobs)
    for item in segment.items:
        path = item.entry.path
        suffix = path.rpartition(".")[2] if path.startswith(f"{DPKG_INFO_DIRECTORY}/") else ""
        if suffix not in LIST_SUFFIXES:
            continue
        contents[path] = filter_list(read_content(path), suffix, lambda line: _stays(line, paths))
        if suffix == "conffiles" and not contents[path]:
            hidden.append(path)
    return SegmentChanges(hide=tuple(sorted(hidden)), contents=contents)


def exclude_from_facts(facts: PackageFacts, excluded: ExcludedPaths) -> PackageFacts:
    """Return facts without the configuration files that are excluded."""
    paths = {*excluded.files, *excluded.directories}
    files = dict(facts.files)
    if "conffiles" in files:
        files["conffiles"] = filter_list(files["conffiles"], "conffiles", lambda line: _stays(line, paths))
    conffiles = {path: digest for path, digest in facts.conffiles.items() if _stays(path, paths)}
    return msgspec.structs.replace(facts, files=files, conffiles=conffiles)


def _stays(path: str, excluded: Container[str]) -> bool:
    return merged_usr_path(path.strip("/")) not in excluded


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
