"""From segments, generated entries and the recipe's files to the layers of an image."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.cache import Cache
from pumice.packing import compose
from pumice.packing.compose import ComposedLayer, LayerChunk, LayerEntry
from pumice.packing.effects import dpkg_database, loader_cache
from pumice.packing.layer_plan import LayerDigests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.assembly.context import BuildContext
    from pumice.digest import Digest
    from pumice.packing.excluded_paths import Exclusions
    from pumice.packing.layer_plan import LayerGroup
    from pumice.packing.segments import Segment
    from pumice.packing.tree import GeneratedEntry, Node
    from pumice.recipe.model import LayerPolicy
    from pumice.store.blobs import Blobs
    from pumice.store.home import Home

VOLATILE_EFFECTS = frozenset({dpkg_database.ORIGIN, loader_cache.ORIGIN})
"""Effects whose results change with any package; the others hardly ever change, so they are kept apart."""

_BASE = "base"
_BYTECODE = "byte code"
_STATE = "state"
_COMMAND_OUTPUT = "generated"
_FILES = "files"

_CACHE = Cache("layer", LayerDigests)


class LayerContents(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that goes into the layers of an image; ``segments`` are by package name.

    ``base_packages`` are the packages that are in no group, but in the lowest layer. ``nodes`` are all
    paths of the image; ``permission_paths`` those of packages' files whose mode or owner the recipe changes.
    """

    groups: tuple[LayerGroup, ...]
    base_packages: Sequence[str]
    segments: Mapping[str, Segment]
    generated: Sequence[GeneratedEntry]
    recipe_entries: Sequence[LayerEntry]
    nodes: Mapping[str, Node]
    bytecode: LayerChunk | None = None
    command_output: LayerChunk | None = None
    """What the commands of ``generate`` wrote."""
    permission_paths: frozenset[str] = frozenset()
    exclusions: Exclusions | None = None
    """What the recipe excludes, for the checks."""


def assemble_layers(
    contents: LayerContents, policy: LayerPolicy, context: BuildContext
) -> list[ComposedLayer]:
    """Return the layers, lowest first; they are in the store. Raises ImageError or StoreError."""
    blobs = context.home.blobs
    base = [
        *(compose.segment_chunk(contents.segments[name]) for name in contents.base_packages),
        *_write_generated(contents.generated, blobs, volatile=False),
    ]
    state = _write_generated(contents.generated, blobs, volatile=True)
    recipe_files = [compose.write_chunk(contents.recipe_entries, blobs)] if contents.recipe_entries else []
    bytecode = [contents.bytecode] if contents.bytecode else []
    command_output = [contents.command_output] if contents.command_output else []
    if policy == "single":
        packages = [chunk for group in contents.groups for chunk in _list_chunks(group, contents)]
        everything = [*base, *packages, *bytecode, *state, *command_output, *recipe_files]
        return _compose_all([("everything", everything)], contents.nodes, context)
    groups = [
        (_title(group, contents.segments), _list_chunks(group, contents))
        for group in contents.groups
        if not group.has_own_layer
    ]
    last = [(_BYTECODE, bytecode), (_STATE, state), (_COMMAND_OUTPUT, command_output), (_FILES, recipe_files)]
    composed = _compose_all([(_BASE, base), *groups, *last], contents.nodes, context)
    lone = [_wrap_segment(group, contents, blobs) for group in contents.groups if group.has_own_layer]
    count = 1 if base else 0  # the base is the lowest layer; then come packages that have their own
    return [*composed[:count], *lone, *composed[count:]]


def _list_chunks(group: LayerGroup, contents: LayerContents) -> list[LayerChunk]:
    return [compose.segment_chunk(contents.segments[name]) for name in group.packages]


def _wrap_segment(group: LayerGroup, contents: LayerContents, blobs: Blobs) -> ComposedLayer:
    """Return the layer of the only package in ``group``, whose segment is a layer already."""
    segment = contents.segments[group.packages[0]]
    layer = compose.compose_own_layer(segment, blobs)
    return ComposedLayer(_title(group, contents.segments), layer, (compose.segment_chunk(segment),))


def _title(group: LayerGroup, segments: Mapping[str, Segment]) -> str:
    if group.has_own_layer:
        facts = segments[group.packages[0]].facts
        return f"{facts.name}={facts.version}"
    return f"{group.name}: {', '.join(group.packages)}"


def _write_generated(
    generated: Sequence[GeneratedEntry], blobs: Blobs, *, volatile: bool
) -> list[LayerChunk]:
    entries = [
        LayerEntry(entry=generated_entry.entry, content=generated_entry.content)
        for generated_entry in generated
        if (generated_entry.origin in VOLATILE_EFFECTS) == volatile
    ]
    return [compose.write_chunk(entries, blobs)] if entries else []


def _compose_all(
    titled_chunks: Sequence[tuple[str, list[LayerChunk]]], nodes: Mapping[str, Node], context: BuildContext
) -> list[ComposedLayer]:
    """Return the layers that have something in them, in order, composed in parallel."""
    blobs, cache = context.home.blobs, _layer_cache(context.home)

    def compose_one(row: tuple[str, list[LayerChunk]]) -> ComposedLayer:
        title, chunks = row
        return ComposedLayer(title, compose.compose_layer(chunks, nodes, blobs, cache), tuple(chunks))

    with ThreadPoolExecutor(context.processors, thread_name_prefix="compose") as pool:
        return list(pool.map(compose_one, [row for row in titled_chunks if row[1]]))


def _layer_cache(home: Home) -> compose.LayerCache:
    def get(key: Digest) -> LayerDigests | None:
        return _CACHE.get(home, key)

    def put(key: Digest, layer: LayerDigests) -> None:
        _CACHE.put(home, key, layer, keep=(layer.digest,))

    return compose.LayerCache(get, put)
