"""Segments of sliced packages: with what slices list and make, and with a true record for dpkg."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.cache_keys import cache_key
from pumice.formats.tar import Entry
from pumice.packing.excluded_paths import ExcludedPaths
from pumice.packing.exclusion import exclude_from_facts, plan_exclusion
from pumice.packing.segments import (
    DOC_DIRECTORY,
    DPKG_INFO_DIRECTORY,
    AddedEntry,
    SegmentChanges,
    change_segment,
)
from pumice.slices.tree import parents_of, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from pumice.digest import Digest
    from pumice.packing.segments import Segment
    from pumice.packing.tree import PackageFacts
    from pumice.slices.tree import SlicedEntry, SlicedTree
    from pumice.store.blobs import Blobs

SLICES_FIELD = "X-Pumice-Slices"
"""The field of dpkg's status that lists the slices of a package."""


class AddedPath(msgspec.Struct, frozen=True):
    """An entry that slices put into the segment of a package, and the SHA-256 of its content (hex)."""

    entry: Entry
    sha256: str = ""


class SlicedPackage(msgspec.Struct, frozen=True):
    """How slices change the segment of a package.

    ``added`` are what they copy to other paths, write with scripts, or make, ``parents`` directories above
    that, and ``replaced`` the paths whose entries in the segment that replaces. If the package is partial,
    ``excluded`` is what is left out, and ``slices`` the names of its slices.
    """

    excluded: ExcludedPaths = ExcludedPaths()
    slices: tuple[str, ...] = ()
    added: tuple[AddedPath, ...] = ()
    parents: tuple[Entry, ...] = ()
    replaced: tuple[str, ...] = ()

    def key(self, original_key: Digest) -> Digest:
        """Return the cache key of the segment, from that of the one that is changed."""
        return cache_key("slices", original_key, self)

    def __bool__(self) -> bool:
        """Whether there is anything to change."""
        return bool(self.slices or self.added)


def plan_additions(segment: Segment, tree: SlicedTree, taken: Container[str]) -> SlicedPackage:
    """Return what slices add to a package, apart from paths that are ``taken`` by other packages."""
    shipped = {item.entry.path: item.entry for item in segment.items}
    shipped |= {entry.path: entry for entry in segment.directories}
    name = segment.facts.name
    added = [
        item
        for item in tree.values()
        if item.package == name and item.is_listed and item.entry.path not in taken
        if not is_shipped(item, shipped)
    ]
    above = {parent for item in added for parent in parents_of(path_of(item.entry))}
    known = shipped.keys() | {entry.path for entry in segment.parents}
    return SlicedPackage(
        added=tuple(
            AddedPath(item.entry, item.final_sha256 or item.sha256)
            for item in sorted(added, key=lambda item: (item.entry.kind == "hardlink", item.entry.path))
        ),
        parents=tuple(
            tree[path].entry for path in sorted(above) if path in tree and tree[path].entry.path not in known
        ),
        replaced=tuple(sorted(item.entry.path for item in added if item.entry.path in shipped)),
    )


def is_shipped(item: SlicedEntry, shipped: Mapping[str, Entry]) -> bool:
    """Whether an entry is one of ``shipped``, the entries of its package by path, and has its content."""
    entry = shipped.get(item.entry.path)
    if entry is None or item.content or item.final_sha256:
        return False
    if entry.kind == "hardlink":  # the first one is the file if its target is left out
        return item.source == entry.link
    return entry == item.entry and item.source in ("", entry.path)


def plan_partial_package(
    segment: Segment, additions: SlicedPackage, slices: Iterable[str], tree: SlicedTree
) -> SlicedPackage:
    """Return what to leave out of the segment of a package, apart from ``additions``.

    A package of which only the copyright is there goes without dpkg's files too.
    """
    kept = {item.entry.path for item in tree.values()}
    files = [item.entry.path for item in segment.items]
    if any(
        item.package == segment.facts.name and item.entry.kind != "dir" and not _is_copyright(item.entry.path)
        for item in tree.values()
    ):
        kept.update(path for path in files if path.startswith(f"{DPKG_INFO_DIRECTORY}/"))
    excluded = ExcludedPaths(
        tuple(sorted(path for path in files if path not in kept)),
        tuple(sorted(entry.path for entry in segment.directories if entry.path not in kept)),
    )
    return msgspec.structs.replace(additions, excluded=excluded, slices=tuple(sorted(slices)))


def _is_copyright(path: str) -> bool:
    rest = path.removeprefix(f"{DOC_DIRECTORY}/")
    return rest != path and ("/" not in rest or rest.rpartition("/")[2].startswith("copyright"))


def cut_sliced_package(
    original: Segment, package: SlicedPackage, read: Callable[[str], bytes], blobs: Blobs
) -> Segment:
    """Return the segment of a package as slices change it; ``read`` returns the content of an added path.

    Raises FormatError for a damaged segment.
    """
    segment = original
    if package.excluded != ExcludedPaths() or package.added:
        segment = change_segment(original, _plan_changes(original, package, read, blobs), blobs)
    if not package.slices:
        return segment
    is_installed = any(item.entry.path.startswith(f"{DPKG_INFO_DIRECTORY}/") for item in segment.items)
    facts = exclude_from_facts(original.facts, package.excluded)
    return msgspec.structs.replace(segment, facts=_describe(facts, package.slices, is_installed))


def _plan_changes(
    segment: Segment, package: SlicedPackage, read: Callable[[str], bytes], blobs: Blobs
) -> SegmentChanges:
    changes = plan_exclusion(segment, package.excluded, blobs)
    added = [
        AddedEntry(item.entry, read(item.entry.path) if item.entry.kind == "file" else b"")
        for item in package.added
    ]
    return msgspec.structs.replace(
        changes,
        hide=(*changes.hide, *package.replaced),
        contents={path: _extend_list(path, text, package.added) for path, text in changes.contents.items()},
        added=tuple(added),
        parents=package.parents,
    )


def _extend_list(path: str, content: bytes, added: Iterable[AddedPath]) -> bytes:
    """Return one of dpkg's files, its list of files with what slices add: the package is the owner."""
    if not path.endswith(".list"):
        return content
    listed = set(content.split(b"\n"))
    lines = [f"/{item.entry.path}".encode() for item in added]
    return content + b"".join(line + b"\n" for line in lines if line not in listed)


def _describe(facts: PackageFacts, slices: Iterable[str], is_installed: bool) -> PackageFacts:
    """Return the facts of a package that is not complete, as dpkg's status shows them."""
    names = ", ".join(slices)
    summary, newline, rest = facts.fields.get("Description", "").partition("\n")
    fields = dict(facts.fields)
    fields["Description"] = f"{summary} (partial: slices {names}){newline}{rest}"
    fields[SLICES_FIELD] = names
    return msgspec.structs.replace(
        facts,
        fields=fields,
        installed=is_installed,
        files=facts.files if is_installed else {},
        conffiles=facts.conffiles if is_installed else {},
    )
