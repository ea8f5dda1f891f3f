"""Segments of packages that are not complete: only with what slices list, and with a true record for dpkg."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.cache_keys import cache_key
from pumice.packing.excluded_paths import ExcludedPaths
from pumice.packing.exclusion import exclude_paths
from pumice.packing.segments import DOC_DIRECTORY, DPKG_INFO_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.digest import Digest
    from pumice.packing.segments import Segment
    from pumice.packing.tree import PackageFacts
    from pumice.slices.tree import SlicedTree
    from pumice.store.blobs import Blobs

SLICES_FIELD = "X-Pumice-Slices"
"""The field of dpkg's status that lists the slices of a package."""


class PartialPackage(msgspec.Struct, frozen=True):
    """What is left out of a package, and the names of its slices."""

    excluded: ExcludedPaths
    slices: tuple[str, ...]

    def key(self, original_key: Digest) -> Digest:
        """Return the cache key of the segment, from that of the whole package."""
        return cache_key("slices", original_key, self)


def plan_partial_package(segment: Segment, slices: Iterable[str], tree: SlicedTree) -> PartialPackage:
    """Return what to leave out of a package with all of its files.

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
    return PartialPackage(excluded, tuple(sorted(slices)))


def _is_copyright(path: str) -> bool:
    rest = path.removeprefix(f"{DOC_DIRECTORY}/")
    return rest != path and ("/" not in rest or rest.rpartition("/")[2].startswith("copyright"))


def cut_partial_package(original: Segment, partial: PartialPackage, blobs: Blobs) -> Segment:
    """Return the segment of a package that is not complete; raises FormatError for a damaged segment."""
    segment = exclude_paths(original, partial.excluded, blobs)
    is_installed = any(item.entry.path.startswith(f"{DPKG_INFO_DIRECTORY}/") for item in segment.items)
    # The slices say more than the number of files that are left out, which `exclude_paths` records.
    facts = msgspec.structs.replace(segment.facts, fields=original.facts.fields)
    return msgspec.structs.replace(segment, facts=_describe(facts, partial.slices, is_installed))


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
