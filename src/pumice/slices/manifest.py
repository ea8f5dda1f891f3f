"""The manifest of a tree of slices, ``manifest.wall`` of schema 1.0: packages, slices, paths and contents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.errors import FormatError
from pumice.formats import jsonwall
from pumice.slices import names
from pumice.slices.selection import MANIFEST_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pumice.slices.selection import SlicedPackages
    from pumice.slices.tree import SlicedEntry, SlicedTree

SCHEMA = "1.0"
MAX_SIZE = 64 << 20
_CLEAN = re.compile(r"(/(?!\.\.?(/|$))[^/\x00]+)+/?")


class Manifest(msgspec.Struct, frozen=True):
    """What a tree was made of: the names of its slices, and its paths."""

    slices: tuple[str, ...]
    paths: tuple[str, ...]


def add_manifests(tree: SlicedTree, selected: SlicedPackages) -> SlicedTree:
    """Return the tree with the content of the manifests that slices generate."""
    paths = [path for path in find_manifest_paths(selected) if path in tree]
    if not paths:
        return tree
    content = _compress(encode_manifest(tree, selected))
    return tree | {
        path: msgspec.structs.replace(
            tree[path],
            content=content,
            entry=msgspec.structs.replace(tree[path].entry, size=len(content)),
        )
        for path in paths
    }


def find_manifest_paths(selected: SlicedPackages) -> list[str]:
    """Return the paths of the manifests that the slices generate."""
    return sorted(
        {
            rule.path.removesuffix("**") + MANIFEST_NAME
            for item in selected.slices
            for rule in item.contents
            if rule.kind == "generate" and rule.applies_to(selected.architecture)
        }
    )


def _compress(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=19, write_checksum=True).compress(data)


def encode_manifest(tree: SlicedTree, selected: SlicedPackages) -> bytes:
    """Return the manifest of a tree, uncompressed; equal trees have equal bytes."""
    return jsonwall.encode_wall(SCHEMA, _list_records(tree, selected))


def _list_records(tree: SlicedTree, selected: SlicedPackages) -> Iterator[dict[str, Any]]:
    for package in selected.packages.values():
        yield {
            "kind": "package",
            "name": package.name,
            "version": package.version,
            "sha256": package.sha256,
            "arch": package.architecture,
        }
    for item in selected.slices:
        yield {"kind": "slice", "name": item.full_name}
    manifests = set(find_manifest_paths(selected))
    inodes = _number_links(tree)
    for path, entry in tree.items():
        if not entry.slices:
            continue
        if entry.entry.kind == "hardlink" and f"/{entry.entry.link}" in tree:
            target = tree[f"/{entry.entry.link}"]
            attributes = msgspec.structs.replace(entry.entry, size=target.entry.size, mode=target.entry.mode)
            listed_entry = msgspec.structs.replace(entry, entry=attributes, sha256=target.sha256)
        else:
            listed_entry = entry
        yield _path_record(path, listed_entry, inodes.get(path, 0), is_manifest=path in manifests)
        for name in entry.slices:
            yield {"kind": "content", "slice": name, "path": path}


def _path_record(path: str, item: SlicedEntry, inode: int, *, is_manifest: bool) -> dict[str, Any]:
    is_file = item.entry.kind in ("file", "hardlink") and not is_manifest
    return {
        "kind": "path",
        "path": path,
        "mode": f"0{item.entry.mode & 0o7777:o}",
        "slices": list(item.slices),
        "sha256": item.sha256 if is_file else "",
        "final_sha256": item.final_sha256 if is_file else "",
        "size": item.entry.size if is_file else 0,
        "link": item.entry.link if item.entry.kind == "symlink" else "",
        "inode": inode,
    }


def _number_links(tree: SlicedTree) -> dict[str, int]:
    """Return a number for each path that is one of several names of a file, by their first paths."""
    groups: dict[str, list[str]] = {}
    for path, item in tree.items():
        if item.entry.kind == "hardlink":
            groups.setdefault(f"/{item.entry.link}", []).append(path)
    members = sorted(sorted([target, *links]) for target, links in groups.items())
    return {path: number for number, group in enumerate(members, 1) for path in group}


def read_manifest(data: bytes) -> Manifest:
    """Return what a manifest lists, uncompressed; raises FormatError for hostile content."""
    records = jsonwall.decode_wall(data, SCHEMA)
    slices = _texts(records, "slice", "name")
    paths = _texts(records, "path", "path")
    if not all(names.is_full_name(name) for name in slices):
        raise FormatError("the manifest has an invalid name of a slice")
    if not all(_CLEAN.fullmatch(path) for path in paths):
        raise FormatError("the manifest has an invalid path")
    return Manifest(tuple(slices), tuple(paths))


def _texts(records: Iterable[dict[str, Any]], kind: str, field: str) -> list[str]:
    return [
        record[field]
        for record in records
        if record.get("kind") == kind and isinstance(record.get(field), str)
    ]
