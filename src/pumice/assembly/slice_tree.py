"""The tree of selected slices: their entries after the scripts ran, with the manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.slices.manifest import add_manifests
from pumice.slices.mutation import run_scripts
from pumice.slices.selection import SlicedPackages, select_entries
from pumice.slices.tree import SlicedEntry, SlicedTree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class CutTree(msgspec.Struct, frozen=True):
    """A tree of slices, ready to be written; ``read`` returns the content of an entry."""

    selected: SlicedPackages
    tree: SlicedTree
    read: Callable[[SlicedEntry], bytes]
    notes: tuple[str, ...] = ()


def make_tree(selected: SlicedPackages, readers: Mapping[str, Callable[[str], bytes]]) -> CutTree:
    """Return the tree of selected slices after their scripts ran; raises SliceError."""

    def read(item: SlicedEntry) -> bytes:
        return readers[item.package](item.source) if item.source else item.content

    entries, notes = select_entries(selected)
    tree = add_manifests(run_scripts(entries, selected, read), selected)
    return CutTree(selected, tree, read, tuple(notes))
