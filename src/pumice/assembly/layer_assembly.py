"""Pieces to layers, layers to documents: the last steps of an image."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import cache
from pumice.formats import oci, platforms
from pumice.packing import compose
from pumice.packing.compose import ComposedLayer, LayerChunk, LayerEntry
from pumice.packing.config import image_config, standard_annotations
from pumice.packing.effects.dpkg_database import BY as DPKG
from pumice.packing.effects.loader_cache import BY as LOADER
from pumice.packing.layer_plan import LayerDigests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.digest import Digest
    from pumice.packing.layer_plan import LayerGroup
    from pumice.packing.segments import Segment
    from pumice.packing.tree import GeneratedEntry, Node
    from pumice.recipe.model import LayerPolicy, Recipe
    from pumice.store.blobs import Blobs
    from pumice.store.home import Home

VOLATILE_EFFECTS = frozenset({DPKG, LOADER})
"""Effects whose results change with any package: kept apart from those that hardly ever change."""

_BYTECODE = "byte code"


class LayerContents(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that goes into an image's layers; ``parts`` are segments by package name.

    ``format`` is the lock's.
    """

    groups: tuple[LayerGroup, ...]
    base_segments: Sequence[Segment]
    segments: Mapping[str, Segment]
    generated: Sequence[GeneratedEntry]
    recipe_entries: Sequence[LayerEntry]
    nodes: Mapping[str, Node]
    bytecode: LayerChunk | None = None
    format: int


def assemble_layers(
    plan: LayerContents, policy: LayerPolicy, home: Home, processors: int
) -> list[ComposedLayer]:
    """Return the layers, lowest first."""
    blobs = home.blobs
    base = [*map(compose.segment_chunk, plan.base_segments), *_made(plan.generated, blobs, volatile=False)]
    state = _made(plan.generated, blobs, volatile=True)
    own = [compose.write_chunk(plan.recipe_entries, blobs)] if plan.recipe_entries else []
    bytecode = [plan.bytecode] if plan.bytecode else []
    if policy == "single":
        packages = [
            compose.segment_chunk(plan.segments[name]) for group in plan.groups for name in group.packages
        ]
        rows: list[tuple[str, list[LayerChunk]]] = [
            ("everything", [*base, *packages, *bytecode, *state, *own])
        ]
        return _composed(rows, plan.nodes, home, processors)
    grouped = [
        (
            _title(group, plan.segments),
            [compose.segment_chunk(plan.segments[name]) for name in group.packages],
        )
        for group in plan.groups
        if not group.has_own_layer
    ]
    composed = _composed(
        [("base", base), *grouped, (_BYTECODE, bytecode), ("state", state), ("files", own)],
        plan.nodes,
        home,
        processors,
    )
    by_title = {one.title: one for one in composed}
    lone = [_alone(group, plan, blobs) for group in plan.groups if group.has_own_layer]
    middle = [by_title[title] for title, _ in grouped]
    ends = [by_title[title] for title in (_BYTECODE, "state", "files") if title in by_title]
    return [*([by_title["base"]] if "base" in by_title else []), *lone, *middle, *ends]


def _alone(group: LayerGroup, plan: LayerContents, blobs: Blobs) -> ComposedLayer:
    segment = plan.segments[group.packages[0]]
    return ComposedLayer(
        _title(group, plan.segments),
        compose.compose_own_layer(segment, blobs),
        (compose.segment_chunk(segment),),
    )


def _title(group: LayerGroup, parts: Mapping[str, Segment]) -> str:
    if group.has_own_layer:
        facts = parts[group.packages[0]].facts
        return f"{facts.name}={facts.version}"
    return f"{group.name}: {', '.join(group.packages)}"


def _made(generated: Sequence[GeneratedEntry], blobs: Blobs, *, volatile: bool) -> list[LayerChunk]:
    items = [
        LayerEntry(entry=item.entry, content=item.content)
        for item in generated
        if (item.origin in VOLATILE_EFFECTS) == volatile
    ]
    return [compose.write_chunk(items, blobs)] if items else []


def _composed(
    rows: Sequence[tuple[str, list[LayerChunk]]], nodes: Mapping[str, Node], home: Home, processors: int
) -> list[ComposedLayer]:
    known = _known_layers(home)

    def one(row: tuple[str, list[LayerChunk]]) -> ComposedLayer:
        title, pieces = row
        return ComposedLayer(title, compose.compose_layer(pieces, nodes, home.blobs, known), tuple(pieces))

    with ThreadPoolExecutor(processors, thread_name_prefix="compose") as pool:
        return list(pool.map(one, [row for row in rows if row[1]]))


def _known_layers(home: Home) -> compose.LayerCache:
    def get(key: Digest) -> LayerDigests | None:
        return cache.recall(home, "layer", key, LayerDigests)

    def put(key: Digest, layer: LayerDigests) -> None:
        cache.remember(home, "layer", key, layer, keeps=(layer.digest,))

    return compose.LayerCache(get, put)


def write_manifest(
    recipe: Recipe,
    architecture: str,
    finished: Sequence[ComposedLayer],
    *,
    created: int,
    user: str,
    blobs: Blobs,
) -> tuple[oci.Descriptor, oci.Descriptor]:
    """Write config and manifest; return the manifest's descriptor and the config's."""
    titled = [(one.title, one.layer) for one in finished]
    document = oci.encode_document(image_config(recipe, architecture, titled, created=created, user=user))
    described = _put(document, oci.CONFIG, blobs)
    manifest = oci.make_manifest(
        described,
        tuple(oci.Descriptor(oci.LAYER_GZIP, layer.digest, layer.size) for _, layer in titled),
        annotations=standard_annotations(recipe, created),
    )
    platform = platforms.from_debian(architecture)
    written = _put(oci.encode_document(manifest), oci.MANIFEST, blobs)
    return msgspec.structs.replace(written, platform=platform), described


def write_index(
    recipe: Recipe, manifests: Sequence[oci.Descriptor], created: int, blobs: Blobs
) -> oci.Descriptor:
    """Write the index of a multi-architecture image and return its descriptor."""
    document = oci.make_index(tuple(manifests), annotations=standard_annotations(recipe, created))
    return _put(oci.encode_document(document), oci.INDEX, blobs)


def _put(data: bytes, media_type: str, blobs: Blobs) -> oci.Descriptor:
    with blobs.writer() as writer:
        writer.write(data)
        writer.commit()
    return oci.make_descriptor(data, media_type)
