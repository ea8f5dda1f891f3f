"""The cache of bytecode (``python: {bytecode: true}``): compiled once for the same sources."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pumice import digest
from pumice.assembly.cache import Cache
from pumice.assembly.layer_assembly import assemble_layers
from pumice.formats import platforms
from pumice.formats.tar import Entry
from pumice.image.model import Image
from pumice.packing import compose
from pumice.packing.compose import LayerChunk, LayerEntry
from pumice.packing.tree import Node, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pumice.assembly.context import BuildContext
    from pumice.assembly.layer_assembly import LayerContents
    from pumice.assembly.platform_model import PlatformInputs
    from pumice.digest import Digest

_INTERPRETER = ("python3", "libpython3")

_CACHE = Cache("bytecode", LayerChunk, lambda piece: (piece.blob,))


def get_bytecode(contents: LayerContents, inputs: PlatformInputs, context: BuildContext) -> LayerChunk | None:
    """Return the bytecode for the Python files of ``contents``, None if there are none.

    The interpreter runs only if the sources or the interpreter changed. Raises ImageError and
    SandboxError as `bytecode.compile_bytecode` does.
    """
    sources = _python_files(contents)
    if not sources:
        return None
    key = _bytecode_key(contents, inputs, sources)
    return _CACHE.get_or_compute(context.home, key, lambda: _compile(contents, inputs, sources, context))


def _python_files(contents: LayerContents) -> list[str]:
    return sorted(path for path in contents.nodes if path.endswith(".py"))


def _bytecode_key(contents: LayerContents, inputs: PlatformInputs, sources: Iterable[str]) -> Digest:
    """Return the cache key of the bytecode.

    It covers the sources, the targets of sources that are links, the interpreter, and which
    directories for bytecode the image has already.
    """
    digests = {
        item.entry.path: item.sha256 for segment in contents.segments.values() for item in segment.items
    }
    digests |= {item.entry.path: digest.of(item.content) for item in contents.generated}
    digests |= {entry.entry.path: entry.sha256 for entry in contents.recipe_entries}
    tree = Tree(_with_parents(contents.nodes), lambda _: b"")
    source_digests = [
        (path, contents.nodes[path].entry.kind, _content_digest(path, tree, digests)) for path in sources
    ]
    folders = sorted(path for path, node in contents.nodes.items() if _is_cache_directory(path, node))
    interpreter = sorted(
        contents.segments[name].blob for name in contents.segments if name.startswith(_INTERPRETER)
    )
    return _CACHE.key(inputs.format, inputs.architecture, interpreter, source_digests, folders)


def _with_parents(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Return ``nodes`` with the parent directories that a layer adds."""
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
    contents: LayerContents, inputs: PlatformInputs, sources: Iterable[str], context: BuildContext
) -> LayerChunk:
    """Unpack the image as it is without bytecode, and let its interpreter compile ``sources``."""
    from pumice.assembly import bytecode
    from pumice.assembly.manifests import write_manifest
    from pumice.runtime import prepared_tree

    home = context.home
    layers = assemble_layers(contents, inputs.recipe.layers, context)
    manifest, _ = write_manifest(
        inputs.recipe, inputs.architecture, layers, created=0, user="", blobs=home.blobs
    )
    with prepared_tree.hold(Image(manifest, home.blobs), home, context.progress) as tree:
        generated = bytecode.compile_bytecode(
            tree.root,
            sorted({path.split("/")[0] for path in sources if "/" in path}),
            platform=platforms.from_debian(inputs.architecture),
            scratch=home.directory("tmp"),
        )
    return compose.write_chunk(
        (LayerEntry(entry=compiled_file.entry, content=compiled_file.content) for compiled_file in generated),
        home.blobs,
    )
