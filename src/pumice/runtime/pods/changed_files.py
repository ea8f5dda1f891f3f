"""The files of a pod that differ from those of its image, as the layer of an image."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.errors import FormatError
from pumice.formats import tar
from pumice.formats.tar import Entry
from pumice.image.flatten import Origin
from pumice.image.rootfs import merge_layers
from pumice.runtime.pods.copying.tree_reader import MOUNT_MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pumice.formats.tar import Body
    from pumice.image.flatten import VisibleEntry
    from pumice.image.model import Image

_CHUNK = 1 << 20
_WHITEOUT = ".wh."
_SET_IDS = 0o6000


class ChangedFiles(msgspec.Struct, frozen=True):
    """Paths of the archive that are in the layer, and the paths of the image that no longer exist."""

    included: frozenset[str]
    removed: tuple[str, ...]


def find_changes(base: Image, archive: BinaryIO, *, has_owners: bool) -> ChangedFiles:
    """Compare all files of a pod with those of its image by content; times do not count.

    ``archive`` is what `copying.copy.export_root` writes with marks of mounts. Without ``has_owners``, the
    container could not set owners and set-ID bits, so they do not count either.
    """
    tree = merge_layers(base.layers())
    present: dict[str, Entry] = {}
    mounts: set[str] = set()
    digests: dict[str, bytes] = {}
    for entry, body in _read(archive):
        if MOUNT_MARK in entry.xattrs:
            mounts.add(entry.path)
            continue
        _check_name(entry.path)
        present[entry.path] = entry
        visible = tree.get(entry.path)
        if visible and entry.kind == visible.entry.kind == "file" and visible.entry.size == entry.size:
            digests[entry.path] = _hash(body)
    same = _find_same_contents(base, tree, digests)
    changed = {
        path for path, entry in present.items() if not _is_unchanged(entry, tree, same, has_owners=has_owners)
    }
    # The target of a hard link must be in the same layer.
    targets = {entry.link for path, entry in present.items() if entry.kind == "hardlink" and path in changed}
    linked = {path for path, entry in present.items() if entry.kind == "hardlink" and entry.link in changed}
    removed = tuple(_find_removed(tree, present, mounts))
    included = changed | targets | linked
    parents = {parent for path in (*included, *removed) for parent in _parents(path)}
    return ChangedFiles(frozenset(included | parents), removed)


def write_layer(archive: BinaryIO, changes: ChangedFiles, write: Callable[[bytes], object]) -> None:
    """Write the layer as a tar archive: directories before what is in them, whiteouts first."""
    whiteouts: dict[str, list[str]] = {}
    for path in changes.removed:
        parent, _, name = path.rpartition("/")
        whiteouts.setdefault(parent, []).append(f"{parent}/{_WHITEOUT}{name}".lstrip("/"))
    for entry, body in _read(archive):
        if entry.path not in changes.included or MOUNT_MARK in entry.xattrs:
            continue
        write(tar.encode_header(entry))
        while data := body.read(_CHUNK):
            write(data)
        write(bytes(tar.padding_size(entry.size)))
        for path in whiteouts.pop(entry.path, ()) if entry.kind == "dir" else ():
            write(tar.encode_header(Entry(path, "file", 0o644)))
    write(tar.END_OF_ARCHIVE)


def _read(archive: BinaryIO) -> Iterator[tuple[Entry, Body]]:
    archive.seek(0)
    return tar.read_entries(archive)


def _check_name(path: str) -> None:
    if path.rpartition("/")[2].startswith(_WHITEOUT):
        raise FormatError(
            f"an image cannot have the file {path[:200]!r}: the name means that a file was removed",
            hint="remove it in the pod",
        )


def _hash(body: Body) -> bytes:
    hasher = hashlib.sha256()
    while data := body.read(_CHUNK):
        hasher.update(data)
    return hasher.digest()


def _find_same_contents(
    base: Image, tree: Mapping[str, VisibleEntry], digests: Mapping[str, bytes]
) -> frozenset[str]:
    """Return the paths whose content in the image has the digest that is given."""
    paths: dict[Origin, list[str]] = {}
    for path in digests:
        paths.setdefault(tree[path].origin, []).append(path)
    same: set[str] = set()
    for number, layer in enumerate(base.layers()):
        for position, (_, body) in enumerate(layer.entries()):
            names = paths.get(Origin(number, position))
            if names:
                content = _hash(body)
                same.update(name for name in names if digests[name] == content)
    return frozenset(same)


def _is_unchanged(
    entry: Entry, tree: Mapping[str, VisibleEntry], same: frozenset[str], *, has_owners: bool
) -> bool:
    visible = tree.get(entry.path)
    if visible is None:
        return False
    if entry.kind == "hardlink":
        target = tree.get(entry.link)
        return target is not None and target.origin == visible.origin
    old = visible.entry
    mask = 0o7777 if has_owners else 0o7777 & ~_SET_IDS
    if (entry.kind, entry.mode & mask) != (old.kind, old.mode & mask):
        return False
    if has_owners and (entry.uid, entry.gid, entry.xattrs) != (old.uid, old.gid, old.xattrs):
        return False
    if entry.kind == "file":
        return entry.path in same
    return (entry.link, entry.device) == (old.link, old.device)


def _find_removed(
    tree: Mapping[str, VisibleEntry], present: Mapping[str, Entry], mounts: set[str]
) -> Iterator[str]:
    """Yield the paths of the image that are gone although the directory that they were in still exists."""
    for path in tree:
        if path in present or path in mounts or not path:
            continue
        parent = path.rpartition("/")[0]
        if parent in present and present[parent].kind == "dir":
            yield path


def _parents(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path
