"""The checks of an image that is being built, on its tree, before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.checks import check_image
from pumice.checks.model import CheckedImage, RunSettings
from pumice.formats import gzip
from pumice.packing.config import PATH
from pumice.packing.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pumice.assembly.layer_assembly import LayerContents
    from pumice.checks.model import Finding
    from pumice.packing.segments import Segment
    from pumice.recipe.model import Recipe
    from pumice.store.blobs import Blobs


def check_contents(recipe: Recipe, contents: LayerContents, blobs: Blobs) -> tuple[Finding, ...]:
    """Return the findings of all checks for the image with ``contents``."""
    reader = _ContentReader(contents, blobs)
    tree = Tree(contents.nodes, lambda path: reader.read_at(path, 0, contents.nodes[path].entry.size))
    return check_image(CheckedImage(tree, reader.read_at, _run_settings(recipe)))


def _run_settings(recipe: Recipe) -> RunSettings:
    run = recipe.run
    return RunSettings(
        command=(*run.command, *run.arguments),
        health=run.health.command if run.health else (),
        environment={"PATH": PATH} | recipe.environment,
        user=run.user,
        directory=run.directory,
        ports=tuple(run.ports.values()),
        volumes=tuple(run.volumes.values()),
    )


class _ContentReader:
    """Reads parts of the files of an image from the segments, the effects and the recipe's files."""

    def __init__(self, contents: LayerContents, blobs: Blobs) -> None:
        self._segments = contents.segments
        self._nodes = contents.nodes
        self._blobs = blobs
        self._added: dict[str, bytes | Path] = {item.entry.path: item.content for item in contents.generated}
        self._added |= {item.entry.path: item.content for item in contents.recipe_entries}
        self._readers: dict[str, Callable[[int, int], bytes]] = {}
        self._offsets: dict[str, dict[str, int]] = {}

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """Return a part of the regular file at ``path``; raises FormatError for a damaged segment."""
        content = self._added.get(path)
        if isinstance(content, bytes):
            return content[offset : offset + size]
        if content is not None:
            with content.open("rb") as file:
                file.seek(offset)
                return file.read(size)
        owner = self._nodes[path].owner
        if owner not in self._readers:
            self._open_segment(owner, self._segments[owner])
        return self._readers[owner](self._offsets[owner][path] + offset, size)

    def _open_segment(self, name: str, segment: Segment) -> None:
        self._offsets[name] = {item.entry.path: item.offset for item in segment.items}
        self._readers[name] = gzip.random_access_reader(
            lambda: self._blobs.open(segment.blob), segment.members, segment.tar_size
        )
