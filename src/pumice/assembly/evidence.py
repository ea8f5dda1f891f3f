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

    from pumice.assembly.layer_assembly import LayerContents
    from pumice.assembly.platform import PlatformImage, PlatformInputs
    from pumice.assembly.recipe_files import RecipeFiles
    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.packing.compose import ComposedLayer
    from pumice.recipe.lock import Lock
    from pumice.recipe.model import Recipe
    from pumice.store.home import Home

_KIND = "evidence"

_MAX_RECIPE_OWNER = 1 << 20

AttachedArtifacts = dict[str, tuple["Descriptor", ...]]
"""A manifest's digest to the artifacts about it."""


class _CachedEvidence(msgspec.Struct, frozen=True):
    """What is remembered: the artifacts, and every blob that they consist of."""

    artifacts: tuple[oci.Descriptor, ...]
    blobs: list[str]


def write_image_facts(
    inputs: PlatformInputs,
    plan: LayerContents,
    finished: Sequence[ComposedLayer],
    documents: tuple[Descriptor, Descriptor],
    created: int,
    release: str,
    home: Home,
) -> Digest:
    """Write the facts of an image as a blob, while everything about it is at hand; return its digest."""
    from pumice.evidence import build_facts as built
    from pumice.packing.config import standard_annotations, timestamp

    manifest, config = documents
    found = built.gather(
        inputs.recipe,
        inputs.architecture,
        inputs.packages,
        plan.segments,
        finished,
        {item.entry.path: item.origin for item in plan.generated},
        built.Documents(
            manifest=manifest,
            config=config,
            created=timestamp(created),
            annotations=standard_annotations(inputs.recipe, created),
        ),
        built.system_of(release.encode(), inputs.recipe.origin.debian),
        own=[made.entry for made in plan.recipe_entries],
        records=home.records,
    )
    return _put(msgspec.msgpack.encode(found), home)


def attach_evidence(
    recipe: Recipe,
    lock: Lock,
    files: RecipeFiles,
    root: Descriptor,
    finished: Mapping[str, PlatformImage],
    moment: int | None,
    home: Home,
) -> AttachedArtifacts:
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


def is_build_evidence(descriptor: Descriptor) -> bool:
    """Whether an artifact is what a build attaches: the next build of the same image replaces it."""
    return oci.EVIDENCE in descriptor.annotations


def _platform(
    recipe: Recipe,
    lock: Lock,
    files: RecipeFiles,
    architecture: str,
    built: PlatformImage,
    moment: int | None,
    home: Home,
) -> tuple[Descriptor, ...]:
    name = cache_key(
        *("evidence", __version__, python_version(), architecture, built.manifest.digest, built.facts),
        *(_file_name(recipe), _bytes(recipe), effective_values(recipe), lock, files.digest, moment),
    )
    kept = cache.recall(home, _KIND, name, _CachedEvidence, lambda kept: kept.blobs)
    if kept is None:
        from pumice.assembly.evidence_writer import write_platform_evidence

        kept = _CachedEvidence(
            *write_platform_evidence(recipe, _bytes(recipe), lock, architecture, built, moment, home)
        )
        cache.remember(home, _KIND, name, kept, keeps=[built.manifest.digest, *kept.blobs])
    return kept.artifacts


def _index(
    recipe: Recipe,
    lock: Lock,
    root: Descriptor,
    finished: Mapping[str, PlatformImage],
    moment: int | None,
    home: Home,
) -> tuple[Descriptor, ...]:
    name = cache_key(
        *("evidence", __version__, python_version(), list(finished), root.digest),
        *(_file_name(recipe), _bytes(recipe), effective_values(recipe), lock, moment),
    )
    kept = cache.recall(home, _KIND, name, _CachedEvidence, lambda kept: kept.blobs)
    if kept is None:
        from pumice.assembly.evidence_writer import write_index_evidence

        kept = _CachedEvidence(
            *write_index_evidence(recipe, _bytes(recipe), lock, root, finished, moment, home)
        )
        cache.remember(home, _KIND, name, kept, keeps=[root.digest, *kept.blobs])
    return kept.artifacts


def _file_name(recipe: Recipe) -> str:
    return recipe.path.rpartition("/")[2]


def _bytes(recipe: Recipe) -> str:
    """Return the recipe file as it is, one that is no text or gone as nothing."""
    try:
        with open(recipe.path, "rb") as file:  # noqa: PTH123 - on the way of every build
            return file.read(_MAX_RECIPE_OWNER).decode()
    except (OSError, UnicodeDecodeError):
        return ""


def effective_values(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values, without the places where its lines stand on this machine."""
    told: dict[str, Any] = msgspec.to_builtins(recipe)
    told.pop("path", None)
    for item in (*told.get("packages", ()), *told.get("files", ())):
        item.pop("where", None)
    return told


def python_version() -> str:
    """Return the version of the Python that this is."""
    import sys

    return ".".join(map(str, sys.version_info[:3]))


def _put(data: bytes, home: Home) -> Digest:
    with home.blobs.writer() as writer:
        writer.write(data)
        return writer.commit()
