"""Removes what the index of an App Container tree no longer has, after a grace period.

A client may still be downloading what the index had a moment ago. So a file is first noted, with the time,
and removed when that is longer ago than the grace period and the file is still not needed. Only files that
publishing writes are removed, never others in the directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.image.regular_file import read_small
from pumice.os_errors import translate_os_errors
from pumice.publish.appc_pages import page_path
from pumice.publish.torrent_files import SUFFIX as TORRENT_SUFFIX
from pumice.publish.tree_files import write_file
from pumice.publish.unreferenced import Removed, find_expired, update_notes
from pumice.trust.archive_signatures import SUFFIX as SIGNATURE_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NOTES = ".pumice-unpublished.json"
"""The file with the second at which each unneeded file was noted."""
_IMAGE_SUFFIX = ".aci"
_COMPANIONS = (TORRENT_SUFFIX, SIGNATURE_SUFFIX, "")
"""The files of an image in the order of their removal: clients begin with the signature."""
_MAX_NOTES = 64 << 20


class Needed(msgspec.Struct, frozen=True):
    """The files of images that a tree needs, and its pages; paths are relative to the tree."""

    images: frozenset[str]
    pages: frozenset[str]


def note_unpublished(
    directory: Path, needed: Needed, former_names: Iterable[str], now: int
) -> dict[str, int]:
    """Note what is not needed at the time ``now``; return when each such file was noted first.

    ``former_names`` are images that the tree may have had a page for. Raises StoreError.
    """
    noted = _read_notes(directory)
    notes = update_notes(noted, _find_unneeded(directory, needed, {*former_names}, noted), now)
    if notes != noted:
        write_file(directory / NOTES, msgspec.json.encode(notes))
    return notes


def remove_unpublished(directory: Path, notes: dict[str, int], now: int, grace: int) -> Removed:
    """Remove what was noted ``grace`` seconds ago; raises StoreError."""
    expired = find_expired(notes, now, grace)
    count = size = 0
    for path in expired:
        companions = [directory / (path + suffix) for suffix in _COMPANIONS]
        for file in companions if path.endswith(_IMAGE_SUFFIX) else companions[-1:]:
            freed_size = _remove(file)
            count += freed_size is not None
            size += freed_size or 0
        _remove_empty(directory, (directory / path).parent)
    left = {path: time for path, time in notes.items() if path not in set(expired)}
    if expired:
        write_file(directory / NOTES, msgspec.json.encode(left))
    return Removed(count, size, len(left))


def _find_unneeded(directory: Path, needed: Needed, former_names: set[str], noted: Iterable[str]) -> set[str]:
    with translate_os_errors(str(directory)):
        images = {
            path.relative_to(directory).as_posix()
            for path in (directory / "aci").rglob(f"*{_IMAGE_SUFFIX}")
            if path.is_file() and not path.is_symlink()
        }
    pages = {page_path(name) for name in former_names}
    pages |= {path for path in noted if not path.endswith(_IMAGE_SUFFIX)}
    return (images - needed.images) | {page for page in pages - needed.pages if (directory / page).is_file()}


def _remove(file: Path) -> int | None:
    """Remove a file; return its size in bytes, None if there is none."""
    with translate_os_errors(str(file)):
        try:
            size = file.lstat().st_size
            file.unlink()
        except FileNotFoundError:
            return None
        return size


def _remove_empty(directory: Path, folder: Path) -> None:
    while folder != directory:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def _read_notes(directory: Path) -> dict[str, int]:
    data = read_small(directory / NOTES, _MAX_NOTES)
    try:
        notes = msgspec.json.decode(data or b"{}", type=dict[str, int])
    except msgspec.MsgspecError:
        return {}  # everything waits for the grace period once more
    return {path: time for path, time in notes.items() if _is_below(path)}


def _is_below(path: str) -> bool:
    """Return whether a path stays in the tree, and is of a kind that publishing writes."""
    parts = path.split("/")
    is_image = parts[0] == "aci" and path.endswith(_IMAGE_SUFFIX)
    return not {"", ".", ".."} & {*parts} and (is_image or (len(parts) > 1 and parts[-1] == "index.html"))
