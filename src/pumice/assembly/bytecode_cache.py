"""``python: {bytecode: true}``: the byte code of an image, made once for the same sources."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pumice import digest
from pumice.assembly import cache, layer_assembly
from pumice.cache_keys import cache_key
from pumice.formats import platforms
from pumice.formats.tar import Entry
from pumice.image.model import Image
from pumice.packing import compose
from pumice.packing.compose import LayerChunk, LayerEntry
from pumice.packing.tree import Node, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pumice.assembly.layer_assembly import LayerContents
    from pumice.assembly.platform import PlatformInputs
    from pumice.digest import Digest
    from pumice.progress import Progress
    from pumice.store.home import Home

_KIND = "bytecode"
_INTERPRETER = ("python3", "libpython3")


def get_bytecode(
    plan: LayerContents, inputs: PlatformInputs, home: Home, processors: int, progress: Progress
) -> LayerChunk | None:
    """Return the byte code for the Python files of ``plan`` as a piece of a layer, None if there is none.

    What decides it is the sources and the interpreter; for the same ones nothing runs. Raises
    ImageError and SandboxError as `bytecode.compile`.
    """
    sources = _python_files(plan)
    if not sources:
        return None
    key = _bytecode_key(plan, inputs, sources)
    bytecode = cache.recall(home, _KIND, key, LayerChunk, lambda piece: (piece.blob,))
    if bytecode is None:
        bytecode = _compile(plan, inputs, sources, home, processors, progress)
        cache.remember(home, _KIND, key, bytecode, keeps=(bytecode.blob,))
    return bytecode


def _python_files(plan: LayerContents) -> list[str]:
    return sorted(path for path in plan.nodes if path.endswith(".py"))


def _bytecode_key(plan: LayerContents, inputs: PlatformInputs, sources: Iterable[str]) -> Digest:
    """Return what the byte code is kept under.

    Beside the sources and the interpreter it depends on which folders for it are there already, and a
    source that is a link on what it leads to.
    """
    digests = {item.entry.path: item.sha256 for segment in plan.segments.values() for item in segment.items}
    digests |= {item.entry.path: digest.of(item.content) for item in plan.generated}
    digests |= {entry.entry.path: entry.sha256 for entry in plan.recipe_entries}
    tree = Tree(_with_parents(plan.nodes), lambda _: b"")
    source_digests = [
        (path, plan.nodes[path].entry.kind, _content_digest(path, tree, digests)) for path in sources
    ]
    folders = sorted(path for path, node in plan.nodes.items() if _is_cache_directory(path, node))
    interpreter = sorted(plan.segments[name].blob for name in plan.segments if name.startswith(_INTERPRETER))
    return cache_key("bytecode", inputs.format, inputs.architecture, interpreter, source_digests, folders)


def _with_parents(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Return ``nodes`` with the directories that a layer makes up for what is in them."""
    complete = dict(nodes)
    for path in nodes:
        parent = posixpath.dirname(path)
        while parent and parent not in complete:
            complete[parent] = Node(Entry(parent, "dir", 0o755))
            parent = posixpath.dirname(parent)
    return complete


def _is_cache_directory(path: str, node: Node) -> bool:
    return node.entry.kind == "dir" and posixpath.basename(path) == "__pycache__"


def _content_digest(path: str, tree: Tree, digests: Mapping[str, str]) -> str:
    target = tree.resolve(path)
    node = tree.get(target) if target else None
    if node is None or target is None:
        return ""
    return digests.get(node.entry.link if node.entry.kind == "hardlink" else target, "")


def _compile(
    plan: LayerContents,
    inputs: PlatformInputs,
    sources: Iterable[str],
    home: Home,
    processors: int,
    progress: Progress,
) -> LayerChunk:
    from pumice.assembly import bytecode
    from pumice.runtime import prepared_tree

    finished = layer_assembly.assemble_layers(plan, inputs.recipe.layers, home, processors)
    manifest, _ = layer_assembly.write_manifest(
        inputs.recipe, inputs.architecture, finished, created=0, user="", blobs=home.blobs
    )
    with prepared_tree.hold(Image(manifest, home.blobs), home, progress) as tree:
        generated = bytecode.compile_bytecode(
            tree.root,
            sorted({path.split("/")[0] for path in sources if "/" in path}),
            platform=platforms.from_debian(inputs.architecture),
            scratch=home.directory("tmp"),
        )
    return compose.write_chunk(
        (LayerEntry(entry=item.entry, content=item.content) for item in generated), home.blobs
    )
