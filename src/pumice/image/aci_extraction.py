"""Unpacks an App Container image as it is, in one pass.

App Container has no whiteouts: a name that begins with ``.wh.`` is that of an ordinary file. Layers cannot
have it, so commands that convert an image to layers refuse it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.appc.image_manifest import read_image_manifest
from pumice.formats.tar import Entry
from pumice.image import aci_reader
from pumice.image.unpack import unpack_into

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pumice.formats.tar import Body
    from pumice.image.unpack import UnpackedDirectory
    from pumice.progress import Progress


class ExtractedAci(msgspec.Struct, frozen=True):
    """The manifest of an image that was unpacked, as it is in the file, and warnings about it."""

    manifest: bytes
    warnings: tuple[str, ...]


def extract_rootfs(
    path: Path, directory: Path, progress: Progress, *, non_standard: bool = False
) -> ExtractedAci:
    """Unpack the root file system of an image into a new or empty directory, without its dependencies.

    Nothing is left in the directory if the image is not valid. Raises ImageError, FormatError.
    """
    with (
        aci_reader.open_reader(path, progress, non_standard=non_standard) as reader,
        unpack_into(directory, progress) as folder,
    ):
        _unpack(reader.entries(), folder)
        _, warnings = read_image_manifest(reader.manifest)
        return ExtractedAci(reader.manifest, warnings)


def _unpack(entries: Iterable[tuple[Entry, Body]], folder: UnpackedDirectory) -> None:
    """Write entries, each of which is below a directory, and hard links after their targets."""
    directories = {""}
    special: dict[str, Entry] = {}
    for entry, body in entries:
        _add_parents(entry.path, directories, folder)
        if entry.kind == "dir":
            directories.add(entry.path)
            folder.add_directory(entry)
        elif entry.kind != "hardlink":
            folder.add_entry(entry, body)
            if entry.kind != "file":
                special[entry.path] = entry
        elif target := special.get(entry.link):  # few programs support hard links to links and devices
            special[entry.path] = target
            folder.add_entry(msgspec.structs.replace(target, path=entry.path), body)
        else:
            folder.add_hardlink(entry)


def _add_parents(path: str, directories: set[str], folder: UnpackedDirectory) -> None:
    """Add the directories above a path that the archive does not have, or has later."""
    parent = path.rpartition("/")[0]
    if parent not in directories:
        _add_parents(parent, directories, folder)
        directories.add(parent)
        folder.add_directory(Entry(parent, "dir", 0o755))
