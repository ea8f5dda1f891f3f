"""Evidence for an image that was just built: bills of materials and provenance, attached to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.assembly import cache
from pumice.cache_keys import cache_key
from pumice.formats import oci
from pumice.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.assembly.composition import Plan
    from pumice.assembly.platform import Built, Inputs
    from pumice.assembly.recipe_files import UserFiles
    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.packing.compose import ComposedLayer
    from pumice.recipe.lock import Lock
    from pumice.recipe.model import Recipe
    from pumice.store.home import Home

_KIND = "evidence"

_MAX_RECIPE = 1 << 20

Attached = dict[str, tuple["Descriptor", ...]]
"""A manifest's digest to the artifacts about it."""


class _Kept(msgspec.Struct, frozen=True):
    """What is remembered: the artifacts, and every blob that they consist of."""

    artifacts: tuple[oci.Descriptor, ...]
    blobs: list[str]


def facts(
    inputs: Inputs,
    plan: Plan,
    finished: Sequence[ComposedLayer],
    documents: tuple[Descriptor, Descriptor],
    created: int,
    release: str,
    home: Home,
) -> Digest:
    """Write the facts of an image as a blob, while everything about it is at hand; return its digest."""
    from pumice.evidence import built
    from pumice.packing.config import standard_annotations, timestamp

    manifest, config = documents
    found = built.gather(
        inputs.recipe,
        inputs.architecture,
        inputs.packages,
        plan.parts,
        finished,
        {item.entry.path: item.origin for item in plan.generated},
        built.Documents(
            manifest=manifest,
            config=config,
            created=timestamp(created),
            annotations=standard_annotations(inputs.recipe, created),
        ),
        built.system_of(release.encode(), inputs.recipe.origin.debian),
        own=[made.entry for made in plan.own],
        records=home.records,
    )
    return _put(msgspec.msgpack.encode(found), home)


def attach(
    recipe: Recipe,
    lock: Lock,
    files: UserFiles,
    root: Descriptor,
    finished: Mapping[str, Built],
    moment: int | None,
    home: Home,
) -> Attached:
    """Return the evidence of each platform's image and of their index, written now or found written.

    Where nothing changed, that is one look-up for each. Raises StoreError.
    """
    found = {
        built.manifest.digest: _platform(recipe, lock, files, architecture, built, moment, home)
        for architecture, built in finished.items()
    }
    if root.digest not in found:
        found[root.digest] = _index(recipe, lock, root, finished, moment, home)
    return found


def is_ours(descriptor: Descriptor) -> bool:
    """Whether an artifact is what a build attaches: the next build of the same image replaces it."""
    return oci.EVIDENCE in descriptor.annotations


def _platform(
    recipe: Recipe,
    lock: Lock,
    files: UserFiles,
    architecture: str,
    built: Built,
    moment: int | None,
    home: Home,
) -> tuple[Descriptor, ...]:
    name = cache_key(
        *("evidence", __version__, interpreter(), architecture, built.manifest.digest, built.facts),
        *(_file_name(recipe), _bytes(recipe), plain(recipe), lock, files.digest, moment),
    )
    kept = cache.recall(home, _KIND, name, _Kept, lambda kept: kept.blobs)
    if kept is None:
        from pumice.assembly.documents import write

        kept = _Kept(*write(recipe, _bytes(recipe), lock, architecture, built, moment, home))
        cache.remember(home, _KIND, name, kept, keeps=[built.manifest.digest, *kept.blobs])
    return kept.artifacts


def _index(
    recipe: Recipe,
    lock: Lock,
    root: Descriptor,
    finished: Mapping[str, Built],
    moment: int | None,
    home: Home,
) -> tuple[Descriptor, ...]:
    name = cache_key(
        *("evidence", __version__, interpreter(), list(finished), root.digest),
        *(_file_name(recipe), _bytes(recipe), plain(recipe), lock, moment),
    )
    kept = cache.recall(home, _KIND, name, _Kept, lambda kept: kept.blobs)
    if kept is None:
        from pumice.assembly.documents import write_index

        kept = _Kept(*write_index(recipe, _bytes(recipe), lock, root, finished, moment, home))
        cache.remember(home, _KIND, name, kept, keeps=[root.digest, *kept.blobs])
    return kept.artifacts


def _file_name(recipe: Recipe) -> str:
    return recipe.path.rpartition("/")[2]


def _bytes(recipe: Recipe) -> str:
    """Return the recipe file as it is, one that is no text or gone as nothing."""
    try:
        with open(recipe.path, "rb") as file:  # noqa: PTH123 - on the way of every build
            return file.read(_MAX_RECIPE).decode()
    except (OSError, UnicodeDecodeError):
        return ""


def plain(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values, without the places where its lines stand on this machine."""
    told: dict[str, Any] = msgspec.to_builtins(recipe)
    told.pop("path", None)
    for item in (*told.get("packages", ()), *told.get("files", ())):
        item.pop("where", None)
    return told


def interpreter() -> str:
    """Return the version of the Python that this is."""
    import sys

    return ".".join(map(str, sys.version_info[:3]))


def _put(data: bytes, home: Home) -> Digest:
    with home.blobs.writer() as writer:
        writer.write(data)
        return writer.commit()
