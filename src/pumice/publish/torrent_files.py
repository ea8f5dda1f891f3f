"""Torrents in a published directory: finds them with the files that they are for, and makes new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from pumice.errors import PumiceError
from pumice.formats import torrent
from pumice.image.regular_file import read_small
from pumice.os_errors import translate_os_errors
from pumice.publish import oci_tree
from pumice.publish.directory_tree import DirectoryTree
from pumice.publish.tree_files import write_file
from pumice.registry.listing import parse_referrers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

SUFFIX = ".torrent"
"""The suffix of a torrent that is next to its file."""
MIN_SIZE = 1 << 20
"""Bytes of the smallest file that gets a torrent."""
_CHUNK = 1 << 20


class SeedableFile(msgspec.Struct, frozen=True):
    """A file with its torrent; ``data`` is the torrent as it is published."""

    path: Path
    torrent: torrent.Torrent
    data: bytes


def find_torrents(directory: Path) -> list[SeedableFile]:
    """Return the torrents of the registry in ``directory``, and those that are next to their files.

    Damaged torrents, and those whose file is missing or has another size, are left out. Of files that
    share a torrent there is the one that it is named after.
    """
    candidates = [*_find_blobs(DirectoryTree(directory)), *_find_beside(directory)]
    found: dict[bytes, SeedableFile] = {}
    for torrent_file, file in candidates:
        seedable = _read(torrent_file, file)
        if seedable is not None and (
            seedable.torrent.info not in found or seedable.path.name == seedable.torrent.name
        ):
            found[seedable.torrent.info] = seedable
    return list(found.values())


def write_torrents(
    directory: Path, files: Mapping[str, str], url: str, trackers: Sequence[str], *, with_v1: bool
) -> int:
    """Write the torrents of large files as ``FILE.torrent``; return how many are new.

    ``files`` has, for each file, the one whose content it has: itself, or one whose torrent it shares, so
    that whoever downloads either is in one swarm. ``url`` is that of the directory. Raises PumiceError.
    """
    count = 0
    for name in sorted(set(files.values())):
        file, seeds = directory / name, (f"{url}/{quote(name)}",)
        with translate_os_errors(str(file)):
            if file.stat().st_size >= MIN_SIZE and not _is_current(file, tuple(trackers), seeds):
                count += write_file(_torrent_of(file), _make(file, trackers, seeds, with_v1=with_v1))
    for name, origin in files.items():
        data = read_small(_torrent_of(directory / origin), torrent.MAX_SIZE) if name != origin else None
        if data is not None:
            count += write_file(_torrent_of(directory / name), data)
    return count


def _torrent_of(file: Path) -> Path:
    return file.with_name(file.name + SUFFIX)


def _make(file: Path, trackers: Sequence[str], seeds: Sequence[str], *, with_v1: bool) -> bytes:
    with file.open("rb") as content:
        chunks = iter(lambda: content.read(_CHUNK), b"")
        return torrent.make_torrent(
            file.name, file.stat().st_size, chunks, trackers=trackers, web_seeds=seeds, with_v1=with_v1
        )


def _is_current(file: Path, trackers: tuple[str, ...], seeds: tuple[str, ...]) -> bool:
    """Return whether a file has a torrent that is newer, with these trackers and web seeds."""
    torrent_file = _torrent_of(file)
    seedable = _read(torrent_file, file)
    if seedable is None or torrent_file.stat().st_mtime_ns < file.stat().st_mtime_ns:
        return False
    return (seedable.torrent.trackers, seedable.torrent.web_seeds) == (trackers, seeds)


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
