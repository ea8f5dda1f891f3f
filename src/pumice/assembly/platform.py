"""One recipe, one lock, one architecture: from packages to a manifest.

Every step is a function of digests and is remembered under them, so that what did not change is
not done again; an image of which nothing changed is found by one look-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import cache
from pumice.cache_keys import cache_key
from pumice.formats import oci
from pumice.packing.layer_plan import LayerDigests
from pumice.recipe.lock import Ids, LockedPackage
from pumice.recipe.model import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.assembly.recipe_files import RecipeFiles
    from pumice.digest import Digest
    from pumice.progress import Progress
    from pumice.store.home import Home

_KIND = "image"


class PlatformInputs(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides an image; ``format`` is the lock's."""

    recipe: Recipe
    packages: tuple[LockedPackage, ...]
    architecture: str
    ids: Ids
    format: int
    source_date_epoch: int | None = None
    """``SOURCE_DATE_EPOCH``: the image's time instead of the newest package's."""


class PlatformImage(msgspec.Struct, frozen=True, kw_only=True):
    """One platform's image, and what is worth knowing about how it was made.

    ``ids`` are all that were allocated; ``undone`` lists, by package, what its scripts would have
    done beyond; ``layers`` are (what it holds, layer), lowest first; ``facts`` the digest of the
    blob with `pumice.evidence.facts.Facts`, which documents about the image are written from.
    """

    manifest: oci.Descriptor
    config: oci.Descriptor
    created: int
    ids: Ids
    layers: tuple[tuple[str, LayerDigests], ...]
    skipped_actions: dict[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()
    facts: str


def platform_key(inputs: PlatformInputs, files: RecipeFiles) -> Digest:
    """Return where the finished image for ``inputs`` is remembered.

    What only says where something was written, or how to resolve it, decides no byte of an image.
    """
    # A suite is only where a package was found: the same one may move from one to another.
    pins = [msgspec.structs.replace(package, suite="") for package in inputs.packages]
    recipe = {
        name: value
        for name, value in msgspec.to_builtins(inputs.recipe).items()
        if name not in ("path", "packages", "origin", "archs", "files")
    }
    return cache_key(
        *("image", inputs.format, recipe, inputs.recipe.origin.debian, pins),
        *(inputs.architecture, inputs.ids, files.digest, inputs.source_date_epoch),
    )


def build_platform(
    inputs: PlatformInputs,
    files: RecipeFiles,
    fetch: Callable[[LockedPackage], Digest],
    home: Home,
    *,
    processors: int,
    progress: Progress,
) -> PlatformImage:
    """Make the image, or find it made. Raises PumiceError; leaves nothing half done."""
    name = platform_key(inputs, files)
    found = cache.recall(home, _KIND, name, PlatformImage, _blobs)
    if found:
        return found
    from pumice.assembly import pipeline

    built = pipeline.assemble_platform(inputs, files, fetch, home, processors, progress)
    # With the ids that it allocated, the same lock makes the same image: found then as well.
    complete = msgspec.structs.replace(inputs, ids=built.ids)
    for where in {name, platform_key(complete, files)}:
        cache.remember(home, _KIND, where, built, keeps=_blobs(built))
    return built


def _blobs(built: PlatformImage) -> list[Digest]:
    return [
        built.manifest.digest,
        built.config.digest,
        built.facts,
        *(layer.digest for _, layer in built.layers),
    ]
