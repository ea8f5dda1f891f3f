"""Finds the torrents in a published directory, and the files that they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import PumiceError
from pumice.formats import torrent
from pumice.image.regular_file import read_small
from pumice.publish import oci_tree
from pumice.publish.directory_tree import DirectoryTree
from pumice.registry.listing import parse_referrers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX = ".torrent"
"""The suffix of a torrent that is next to its file."""


class SeedableFile(msgspec.Struct, frozen=True):
    """A file with its torrent; ``data`` is the torrent as it is published."""

    path: Path
    torrent: torrent.Torrent
    data: bytes


def find_torrents(directory: Path) -> list[SeedableFile]:
    """Return the torrents of the registry in ``directory``, and those that are next to their files.

    Damaged torrents, and those whose file is missing or has another size, are left out.
    """
    candidates = [*_find_blobs(DirectoryTree(directory)), *_find_beside(directory)]
    found = (_read(torrent_file, file) for torrent_file, file in candidates)
    return [seedable for seedable in found if seedable is not None]


def _find_blobs(tree: DirectoryTree) -> Iterator[tuple[Path, Path]]:
    """Yield the torrents and files of the artifacts in a static registry."""
    for path in sorted(tree.list_files()):
        folder, is_referrers, _ = path.partition("/referrers/")
        if not is_referrers:
            continue
        for link in parse_referrers(tree.read(path) or b"{}", path):
            if link.descriptor.artifact_type != torrent.ARTIFACT_TYPE:
                continue
            node = oci_tree.read_node(tree, f"{folder}/manifests/{link.digest}")
            for layer in node.blobs if node else ():
                name = layer.annotations.get(torrent.BLOB_ANNOTATION)
                if name and "/" not in name + layer.digest:
                    blobs = tree.root / folder / "blobs"
                    yield blobs / layer.digest, blobs / name


def _find_beside(directory: Path) -> Iterator[tuple[Path, Path]]:
    for file in sorted(directory.rglob(f"*{SUFFIX}")):
        yield file, file.with_name(file.name.removesuffix(SUFFIX))


def _read(torrent_file: Path, file: Path) -> SeedableFile | None:
    try:
        data = read_small(torrent_file, torrent.MAX_SIZE)
        if data is None or not file.is_file():
            return None
        parsed = torrent.read_torrent(data)
    except PumiceError:
        return None
    return SeedableFile(file.resolve(), parsed, data) if parsed.size == file.stat().st_size else None
