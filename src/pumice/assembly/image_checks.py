"""The checks of an image: on its tree while it is built, on its unpacked files afterwards."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.cache import Cache
from pumice.checks.finding import Finding
from pumice.checks.image_check import check_image
from pumice.checks.model import CheckedImage
from pumice.checks.runnable_image import RunSettings
from pumice.evidence.facts import GENERATED
from pumice.formats import gzip
from pumice.packing.config import PATH
from pumice.packing.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from pumice.assembly.layer_assembly import LayerContents
    from pumice.digest import Digest
    from pumice.formats.oci import HealthCheck, RunConfig
    from pumice.image.model import Image
    from pumice.packing.compose import LayerChunk
    from pumice.packing.segments import Segment
    from pumice.progress import Progress
    from pumice.recipe.model import Recipe
    from pumice.store.blobs import Blobs
    from pumice.store.home import Home


def check_contents(recipe: Recipe, contents: LayerContents, blobs: Blobs) -> tuple[Finding, ...]:
    """Return the findings of all checks for the image with ``contents``.

    Raises ImageError if the recipe excludes a file that its commands need.
    """
    reader = _ContentReader(contents, blobs)
    nodes = contents.nodes
    tree = Tree(
        nodes, lambda path: reader.read_at(path, 0, nodes[path].entry.size), (), _implied_directories(nodes)
    )
    image = CheckedImage(tree, reader.read_at, _run_settings(recipe), contents.permission_paths)
    if contents.exclusions is None:
        return check_image(image)
    from pumice.checks.exclusions import check_exclusions

    return (*check_exclusions(image, contents.exclusions), *check_image(image))


def _implied_directories(paths: Collection[str]) -> frozenset[str]:
    """Return the directories that exist only because of ``paths`` in them."""
    implied: set[str] = set()
    pending = {path.rpartition("/")[0] for path in paths}
    while pending:
        missing = {path for path in pending if path and path not in paths and path not in implied}
        implied |= missing
        pending = {path.rpartition("/")[0] for path in missing}
    return frozenset(implied)


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
        self._command_output = contents.command_output
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
            if owner == GENERATED and self._command_output:
                self._open_segment(owner, self._command_output)
            else:
                self._open_segment(owner, self._segments[owner])
        return self._readers[owner](self._offsets[owner][path] + offset, size)

    def _open_segment(self, name: str, segment: Segment | LayerChunk) -> None:
        self._offsets[name] = {item.entry.path: item.offset for item in segment.items}
        self._readers[name] = gzip.random_access_reader(
            lambda: self._blobs.open(segment.blob), segment.members, segment.tar_size
        )


class _Findings(msgspec.Struct, frozen=True):
    findings: tuple[Finding, ...]


_CACHE = Cache("findings", _Findings)


def record_findings(manifest: Digest, findings: tuple[Finding, ...], home: Home) -> None:
    """Cache the findings of the image with this manifest, for `check_finished_image`."""
    # What the recipe excludes is not part of the image, so reading the image again would not find it.
    findings = tuple(finding for finding in findings if finding.check != "exclude")
    _CACHE.put(home, _CACHE.key(manifest), _Findings(findings))


def check_finished_image(image: Image, home: Home, progress: Progress) -> tuple[Finding, ...]:
    """Return the findings of an image of one platform, from the cache, or from its files unpacked.

    Raises the errors of reading and unpacking the image.
    """
    cached = _CACHE.get(home, _CACHE.key(image.root.digest))
    if cached is not None:
        return cached.findings
    with open_checked_image(image, home, progress) as checked_image:
        findings = check_image(checked_image)
    record_findings(image.root.digest, findings, home)
    return findings


@contextmanager
def open_checked_image(image: Image, home: Home, progress: Progress) -> Iterator[CheckedImage]:
    """Give the tree and the settings of an image of one platform, whose files are unpacked until the end.

    Raises the errors of reading and unpacking the image.
    """
    from pumice.image import layer_scan
    from pumice.image.flatten import flatten
    from pumice.packing.tree import Node
    from pumice.runtime import prepared_tree

    entries = flatten(layer_scan.scan_layer(layer, home.records).entries for layer in image.layers())
    nodes = {
        path: Node(msgspec.structs.replace(item.entry, path=path)) for path, item in entries.items() if path
    }
    with prepared_tree.hold(image, home, progress) as prepared:
        root = prepared.root
        tree = Tree(nodes, lambda path: _read_unpacked(root, path, 0, nodes[path].entry.size))
        settings = _settings_of_config(image.config().config)
        yield CheckedImage(tree, lambda *part: _read_unpacked(root, *part), settings)


def _read_unpacked(root: Path, path: str, offset: int, size: int) -> bytes:
    """Return a part of an unpacked file, nothing if its mode forbids it; ``path`` has no link in it."""
    try:
        descriptor = os.open(root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(descriptor, size, offset)
    finally:
        os.close(descriptor)


def _settings_of_config(config: RunConfig) -> RunSettings:
    pairs = (variable.partition("=") for variable in config.env)
    return RunSettings(
        command=(*config.entrypoint, *config.cmd),
        health=_health_command(config.healthcheck),
        environment={name: value for name, _, value in pairs},
        user=config.user,
        directory=config.working_dir,
        ports=tuple(config.exposed_ports),
        volumes=tuple(config.volumes),
    )


def _health_command(health: HealthCheck | None) -> tuple[str, ...]:
    kind, *words = health.test if health and health.test else ("NONE",)
    if kind == "CMD":
        return tuple(words)
    return ("/bin/sh", "-c", *words) if kind == "CMD-SHELL" else ()
