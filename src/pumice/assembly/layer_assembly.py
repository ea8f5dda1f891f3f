"""Pieces to layers, layers to documents: the last steps of an image."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import cache
from pumice.formats import oci, platforms
from pumice.packing import compose
from pumice.packing.compose import Filled, Made, Piece
from pumice.packing.config import config, standard_annotations
from pumice.packing.effects import dpkg, loader
from pumice.packing.layer_plan import WholeLayer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.digest import Digest
    from pumice.packing.layer_plan import Group
    from pumice.packing.segments import Segment
    from pumice.packing.tree import Generated, Node
    from pumice.recipe.model import LayerPolicy, Recipe
    from pumice.store.base import Blobs
    from pumice.store.home import Home

VOLATILE_EFFECTS = frozenset({dpkg.BY, loader.BY})
"""Effects whose results change with any package: kept apart from those that hardly ever change."""

_BYTECODE = "byte code"


class LayerContents(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that goes into an image's layers; ``parts`` are segments by package name.

    ``format`` is the lock's.
    """

    groups: tuple[Group, ...]
    base_segments: Sequence[Segment]
    segments: Mapping[str, Segment]
    generated: Sequence[Generated]
    recipe_entries: Sequence[Made]
    nodes: Mapping[str, Node]
    bytecode: Piece | None = None
    format: int


def assemble_layers(plan: LayerContents, policy: LayerPolicy, home: Home, processors: int) -> list[Filled]:
    """Return the layers, lowest first."""
    blobs = home.blobs
    base = [*map(compose.piece, plan.base_segments), *_made(plan.generated, blobs, volatile=False)]
    state = _made(plan.generated, blobs, volatile=True)
    own = [compose.made(plan.recipe_entries, blobs)] if plan.recipe_entries else []
    bytecode = [plan.bytecode] if plan.bytecode else []
    if policy == "single":
        packages = [compose.piece(plan.segments[name]) for group in plan.groups for name in group.packages]
        rows: list[tuple[str, list[Piece]]] = [("everything", [*base, *packages, *bytecode, *state, *own])]
        return _composed(rows, plan.nodes, home, processors)
    grouped = [
        (_title(group, plan.segments), [compose.piece(plan.segments[name]) for name in group.packages])
        for group in plan.groups
        if not group.alone
    ]
    composed = _composed(
        [("base", base), *grouped, (_BYTECODE, bytecode), ("state", state), ("files", own)],
        plan.nodes,
        home,
        processors,
    )
    by_title = {one.title: one for one in composed}
    lone = [_alone(group, plan, blobs) for group in plan.groups if group.alone]
    middle = [by_title[title] for title, _ in grouped]
    ends = [by_title[title] for title in (_BYTECODE, "state", "files") if title in by_title]
    return [*([by_title["base"]] if "base" in by_title else []), *lone, *middle, *ends]


def _alone(group: Group, plan: LayerContents, blobs: Blobs) -> Filled:
    segment = plan.segments[group.packages[0]]
    return Filled(_title(group, plan.segments), compose.alone(segment, blobs), (compose.piece(segment),))


def _title(group: Group, parts: Mapping[str, Segment]) -> str:
    if group.alone:
        facts = parts[group.packages[0]].facts
        return f"{facts.name}={facts.version}"
    return f"{group.name}: {', '.join(group.packages)}"


def _made(generated: Sequence[Generated], blobs: Blobs, *, volatile: bool) -> list[Piece]:
    items = [
        Made(entry=item.entry, content=item.content)
        for item in generated
        if (item.by in VOLATILE_EFFECTS) == volatile
    ]
    return [compose.made(items, blobs)] if items else []


def _composed(
    rows: Sequence[tuple[str, list[Piece]]], nodes: Mapping[str, Node], home: Home, processors: int
) -> list[Filled]:
    known = _known_layers(home)

    def one(row: tuple[str, list[Piece]]) -> Filled:
        title, pieces = row
        return Filled(title, compose.layer(pieces, nodes, home.blobs, known), tuple(pieces))

    with ThreadPoolExecutor(processors, thread_name_prefix="compose") as pool:
        return list(pool.map(one, [row for row in rows if row[1]]))


def _known_layers(home: Home) -> compose.Known:
    def get(key: Digest) -> WholeLayer | None:
        return cache.recall(home, "layer", key, WholeLayer)

    def put(key: Digest, layer: WholeLayer) -> None:
        cache.remember(home, "layer", key, layer, keeps=(layer.digest,))

    return compose.Known(get, put)


def write_manifest(
    recipe: Recipe,
    architecture: str,
    finished: Sequence[Filled],
    *,
    created: int,
    user: str,
    blobs: Blobs,
) -> tuple[oci.Descriptor, oci.Descriptor]:
    """Write config and manifest; return the manifest's descriptor and the config's."""
    titled = [(one.title, one.layer) for one in finished]
    document = oci.encode_document(config(recipe, architecture, titled, created=created, user=user))
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
