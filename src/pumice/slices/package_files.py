"""The entries of a package, from its segment, under the paths that slices use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.packing.segments import DPKG_INFO_DIRECTORY
from pumice.packing.selection import merged_usr_path
from pumice.slices.tree import PackageEntry, PackageFiles, path_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.formats.tar import Entry
    from pumice.packing.segments import Segment


def list_package_files(
    segment: Segment, sha256: str, read: Callable[[str], bytes], *, merged_usr: bool
) -> PackageFiles:
    """Return the entries of a package from a segment with all of its files.

    ``read`` reads a file of the segment. With ``merged_usr`` the paths are those of the segment, otherwise
    those of the package.
    """
    originals = {} if merged_usr else _original_paths(segment, read)
    entries = [_make_entry(entry, originals) for entry in (*segment.directories, *segment.parents)]
    entries += [
        _make_entry(item.entry, originals, item.sha256)
        for item in segment.items
        if not item.entry.path.startswith(f"{DPKG_INFO_DIRECTORY}/")
    ]
    facts = segment.facts
    return PackageFiles(
        name=facts.name,
        version=facts.version,
        architecture=facts.architecture,
        sha256=sha256,
        newest=segment.newest,
        entries=tuple(entries),
    )


def _make_entry(entry: Entry, originals: dict[str, str], sha256: str = "") -> PackageEntry:
    path = path_of(entry)
    original = originals.get(entry.path)
    if original is not None:
        path = f"/{original}/" if entry.kind == "dir" else f"/{original}"
    return PackageEntry(path, entry, entry.path, sha256)


def _original_paths(segment: Segment, read: Callable[[str], bytes]) -> dict[str, str]:
    """Return the path in the package for each path that a merged ``/usr`` changes, from dpkg's list."""
    list_path = next(
        (
            item.entry.path
            for item in segment.items
            if item.entry.path.startswith(f"{DPKG_INFO_DIRECTORY}/") and item.entry.path.endswith(".list")
        ),
        "",
    )
    if not list_path:
        return {}
    lines = read(list_path).decode("utf-8", "replace").split("\n")
    paths = [line[1:] for line in lines if line.startswith("/") and line != "/."]
    return {merged: path for path in paths if (merged := merged_usr_path(path)) != path}
