"""Renders an App Container image with its dependencies: an image with a layer for each of them.

Layers replace what is below them as the specification says of dependencies, so a dependency that no
whitelist filters is a layer as it is; see `filtered_layers` for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.appc.dependencies import Candidate, Visit, plan_rendering
from pumice.image import aci_reader
from pumice.image.aci_reader import ConvertedLayer
from pumice.image.filtered_layers import filter_layer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pumice.image.aci_reader import ReadAci
    from pumice.image.model import Image
    from pumice.image.stat_cache import Records
    from pumice.progress import Progress


class RenderableImage(msgspec.Struct, frozen=True):
    """An image that can be rendered, or be a dependency: what it is, and its files as layers, base first."""

    candidate: Candidate
    layers: tuple[ConvertedLayer, ...]
    warnings: tuple[str, ...] = ()


class RenderedAci(msgspec.Struct, frozen=True):
    """An image with everything that it depends on, and the IDs of what was unpacked, in order."""

    image: Image
    name: str
    version: str
    image_ids: tuple[str, ...]
    warnings: tuple[str, ...]


def render(
    path: Path, dependencies: Sequence[Path], progress: Progress, *, non_standard: bool = False
) -> RenderedAci:
    """Return the image at ``path`` with its dependencies, which are in files. Raises PumiceError."""
    read = [aci_reader.read_aci(each, progress, non_standard=non_standard) for each in (path, *dependencies)]
    top, *others = [make_renderable(each) for each in read]
    return render_images(top, others)


def make_renderable(read: ReadAci) -> RenderableImage:
    """Return an image that was read from a file."""
    validated, archive = read.validated, read.archive
    candidate = Candidate(validated.manifest, validated.image_id, read.sizes, str(archive.path))
    warnings = tuple(f"{archive.path}: {text}" for text in validated.warnings)
    return RenderableImage(candidate, (read.layer,), warnings)


def render_images(
    top: RenderableImage, dependencies: Sequence[RenderableImage], records: Records | None = None
) -> RenderedAci:
    """Return an image with its dependencies, which are among ``dependencies``.

    ``records`` is as for `filter_layer`. Raises PumiceError.
    """
    from pumice.appc.labels import find_value

    images = (top, *dependencies)
    layers = {image.candidate.image_id: image.layers for image in reversed(images)}
    visits = plan_rendering(top.candidate, [image.candidate for image in dependencies])
    filtered: dict[tuple[object, ...], list[ConvertedLayer]] = {}
    for visit in visits:
        if _key(visit) not in filtered:
            visited_layers = layers[visit.image.image_id]
            filtered[_key(visit)] = [filter_layer(layer, visit, records) for layer in visited_layers]
    manifest = top.candidate.manifest
    rendered_manifest = msgspec.structs.replace(manifest, dependencies=(), path_whitelist=())
    with aci_reader.naming_file(top.candidate.where):
        image = aci_reader.make_image(
            rendered_manifest,
            top.candidate.image_id,
            [layer for visit in visits for layer in filtered[_key(visit)]],
        )
    return RenderedAci(
        image,
        manifest.name,
        find_value(manifest.labels, "version") or "",
        tuple(visit.image.image_id for visit in visits),
        tuple(warning for each in images for warning in each.warnings),
    )


def _key(visit: Visit) -> tuple[object, ...]:
    return (visit.image.image_id, visit.whitelists)
