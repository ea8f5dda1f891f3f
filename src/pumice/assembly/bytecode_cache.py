"""``python: {bytecode: true}``: the byte code of an image, made once for the same sources."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pumice import digest
from pumice.assembly import cache, composition
from pumice.cache_keys import cache_key
from pumice.formats import platforms
from pumice.formats.tar import Entry
from pumice.image.model import Image
from pumice.packing import compose
from pumice.packing.compose import LayerChunk, LayerEntry
from pumice.packing.tree import Node, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pumice.assembly.composition import Plan
    from pumice.assembly.platform import Inputs
    from pumice.digest import Digest
    from pumice.progress import Progress
    from pumice.store.home import Home

_KIND = "bytecode"
_INTERPRETER = ("python3", "libpython3")


def byte_code(
    plan: Plan, inputs: Inputs, home: Home, processors: int, progress: Progress
) -> LayerChunk | None:
    """Return the byte code for the Python files of ``plan`` as a piece of a layer, None if there is none.

    What decides it is the sources and the interpreter; for the same ones nothing runs. Raises
    ImageError and SandboxError as `bytecode.compile`.
    """
    sources = _sources(plan)
    if not sources:
        return None
    key = _key(plan, inputs, sources)
    found = cache.recall(home, _KIND, key, LayerChunk, lambda piece: (piece.blob,))
    if found is None:
        found = _made(plan, inputs, sources, home, processors, progress)
        cache.remember(home, _KIND, key, found, keeps=(found.blob,))
    return found


def _sources(plan: Plan) -> list[str]:
    return sorted(path for path in plan.nodes if path.endswith(".py"))


def _key(plan: Plan, inputs: Inputs, sources: Iterable[str]) -> Digest:
    """Return what the byte code is kept under.

    Beside the sources and the interpreter it depends on which folders for it are there already, and a
    source that is a link on what it leads to.
    """
    sums = {item.entry.path: item.sha256 for part in plan.parts.values() for item in part.items}
    sums |= {item.entry.path: digest.of(item.content) for item in plan.generated}
    sums |= {made.entry.path: made.sha256 for made in plan.own}
    tree = Tree(_with_parents(plan.nodes), lambda _: b"")
    listed = [(path, plan.nodes[path].entry.kind, _sum(path, tree, sums)) for path in sources]
    folders = sorted(path for path, node in plan.nodes.items() if _is_cache(path, node))
    interpreter = sorted(plan.parts[name].blob for name in plan.parts if name.startswith(_INTERPRETER))
    return cache_key("bytecode", inputs.format, inputs.architecture, interpreter, listed, folders)


def _with_parents(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Return ``nodes`` with the directories that a layer makes up for what is in them."""
    complete = dict(nodes)
    for path in nodes:
        parent = posixpath.dirname(path)
        while parent and parent not in complete:
            complete[parent] = Node(Entry(parent, "dir", 0o755))
            parent = posixpath.dirname(parent)
    return complete


def _is_cache(path: str, node: Node) -> bool:
    return node.entry.kind == "dir" and posixpath.basename(path) == "__pycache__"


def _sum(path: str, tree: Tree, sums: Mapping[str, str]) -> str:
    target = tree.resolve(path)
    node = tree.get(target) if target else None
    if node is None or target is None:
        return ""
    return sums.get(node.entry.link if node.entry.kind == "hardlink" else target, "")


def _made(
    plan: Plan, inputs: Inputs, sources: Iterable[str], home: Home, processors: int, progress: Progress
) -> LayerChunk:
    from pumice.assembly import bytecode
    from pumice.runtime import unpack

    finished = composition.layers(plan, inputs.recipe.layers, home, processors)
    manifest, _ = composition.documents(
        inputs.recipe, inputs.architecture, finished, created=0, user="", blobs=home.blobs
    )
    with unpack.hold(Image(manifest, home.blobs), home, progress) as tree:
        generated = bytecode.compile(
            tree.root,
            sorted({path.split("/")[0] for path in sources if "/" in path}),
            platform=platforms.from_debian(inputs.architecture),
            scratch=home.directory("tmp"),
        )
    return compose.write_chunk(
        (LayerEntry(entry=item.entry, content=item.content) for item in generated), home.blobs
    )
