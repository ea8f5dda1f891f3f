"""Renders an App Container image with its dependencies: an image with a layer for each of them.

Layers replace what is below them as the specification says of dependencies, so a dependency that no
whitelist filters is a layer as it is. Of a filtered one, directories above a path that stays keep their mode
and owner, and a hard link stays although its target does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.appc.dependencies import Candidate, Visit, plan_rendering
from pumice.image import aci_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pumice.formats.tar import Body, Entry
    from pumice.image.aci_reader import ConvertedLayer, ReadAci
    from pumice.image.model import Image
    from pumice.progress import Progress


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
    paths = (path, *dependencies)
    return render_read([aci_reader.read_aci(each, progress, non_standard=non_standard) for each in paths])


def render_read(read: Sequence[ReadAci]) -> RenderedAci:
    """Return the first image with its dependencies, which are among the others. Raises PumiceError."""
    from pumice.appc.labels import find_value

    candidates = [_make_candidate(each) for each in read]
    layers = {candidate.image_id: each.layer for candidate, each in zip(candidates, read, strict=True)}
    visits = plan_rendering(candidates[0], candidates[1:])
    filtered: dict[tuple[object, ...], ConvertedLayer] = {}
    for visit in visits:
        if _key(visit) not in filtered:
            filtered[_key(visit)] = filter_layer(layers[visit.image.image_id], visit)
    manifest = candidates[0].manifest
    rendered_manifest = msgspec.structs.replace(manifest, dependencies=(), path_whitelist=())
    image_ids = tuple(visit.image.image_id for visit in visits)
    image = aci_reader.make_image(
        rendered_manifest, candidates[0].image_id, [filtered[_key(visit)] for visit in visits]
    )
    warnings = tuple(f"{each.archive.path}: {text}" for each in read for text in each.validated.warnings)
    return RenderedAci(
        image, manifest.name, find_value(manifest.labels, "version") or "", image_ids, warnings
    )


def _key(visit: Visit) -> tuple[object, ...]:
    return (visit.image.image_id, visit.whitelists)


def filter_layer(layer: ConvertedLayer, visit: Visit) -> ConvertedLayer:
    """Return the part of a layer that every whitelist lets through."""
    if not visit.whitelists:
        return layer
    return aci_reader.write_layer(_filter_entries(layer, _plan_names(layer, visit), visit))


def _make_candidate(read: ReadAci) -> Candidate:
    validated = read.validated
    size = read.archive.status[2] if read.archive.status else 0
    return Candidate(validated.manifest, validated.image_id, size, str(read.archive.path))


def _plan_names(layer: ConvertedLayer, visit: Visit) -> dict[str, str]:
    """Return, for each file, the first of its names that stays."""
    names: dict[str, str] = {}
    targets: dict[str, str] = {}
    for entry, _ in layer.entries():
        if entry.kind == "dir":
            continue
        target = targets.get(entry.link, entry.link) if entry.kind == "hardlink" else entry.path
        if entry.kind == "hardlink":
            targets[entry.path] = target
        if target not in names and visit.allows(entry.path, is_directory=False):
            names[target] = entry.path
    return names


def _filter_entries(
    layer: ConvertedLayer, names: dict[str, str], visit: Visit
) -> Iterator[tuple[Entry, Body]]:
    targets: dict[str, str] = {}
    for entry, body in layer.entries():
        if entry.kind == "dir":
            if visit.allows(entry.path, is_directory=True):
                yield entry, body
        elif entry.kind == "hardlink":
            target = targets[entry.path] = targets.get(entry.link, entry.link)
            name = names.get(target, "")
            if entry.path != name and visit.allows(entry.path, is_directory=False):
                yield msgspec.structs.replace(entry, link=name), body
        elif entry.path in names:
            yield msgspec.structs.replace(entry, path=names[entry.path]), body
