"""Cuts slices for a directory: packages to segments, segments to a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.assembly.slice_packages import open_packages
from pumice.assembly.slice_tree import make_tree
from pumice.slices import closure
from pumice.slices.selection import SlicedPackages, collect_packages, list_extracted_paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.assembly.slice_packages import CutSettings
    from pumice.assembly.slice_tree import CutTree
    from pumice.progress import Progress
    from pumice.slices.model import Release
    from pumice.store.home import Home


def cut_slices(
    release: Release,
    names: Sequence[str],
    settings: CutSettings,
    home: Home,
    *,
    environ: Mapping[str, str],
    progress: Progress,
) -> CutTree:
    """Return the tree of slices and of all that they require; raises PumiceError."""
    slices = closure.select(release, names, settings.architecture)
    opened = open_packages(
        *(release, collect_packages(slices), settings, home),
        environ=environ,
        progress=progress,
        listed_paths=list_extracted_paths(slices, settings.architecture),
    )
    selected = SlicedPackages(release, tuple(slices), settings.architecture, opened.files)
    return make_tree(selected, opened.readers)
