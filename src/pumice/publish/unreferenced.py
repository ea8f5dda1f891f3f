"""Removes what no tag of a static registry needs, after a grace period.

A client may still be pulling what a tag meant a moment ago. So a file that nothing needs is first noted,
with the time, and removed when it was noted longer than the grace period ago and is still not needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.publish import oci_tree
from pumice.publish.tree import JSON
from pumice.registry.listing import parse_referrers
from pumice.registry.reference import is_attachment_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pumice.publish.tree import Tree

NOTES = ".pumice-unreferenced.json"
"""The file outside ``v2`` with the second at which each unneeded file was noted."""

GRACE_HOURS = 24
_HOUR = 3600
_MAX_ROUNDS = 64


class Removed(msgspec.Struct, frozen=True):
    """The number of files that were removed, their bytes, and the number of those in their grace period."""

    files: int = 0
    size: int = 0
    waiting: int = 0


def note_unreferenced(tree: Tree, now: int) -> dict[str, int]:
    """Note what no tag needs at the time ``now`` (seconds); return when each such file was noted first."""
    noted = _read_notes(tree)
    notes = update_notes(noted, find_unreferenced(tree, tree.list_files()), now)
    if notes != noted:
        tree.write(NOTES, JSON, [msgspec.json.encode(notes)])
    return notes


def update_notes(noted: Mapping[str, int], unneeded: Iterable[str], now: int) -> dict[str, int]:
    """Return when each file that nothing needs was noted first: at ``now`` if ``noted`` does not have it."""
    return {path: min(noted.get(path, now), now) for path in sorted(unneeded)}


def find_expired(notes: Mapping[str, int], now: int, grace: int) -> list[str]:
    """Return the files that were noted at least ``grace`` seconds ago."""
    return [path for path, time in notes.items() if time <= now - grace]


def remove_unreferenced(tree: Tree, now: int, grace: int) -> Removed:
    """Remove what was noted ``grace`` seconds ago and is still not needed; raises PumiceError."""
    files = tree.list_files()
    notes = note_unreferenced(tree, now)
    expired = find_expired(notes, now, grace)
    for path in sorted(expired, key=_removal_order):
        tree.remove(path)
    left = {path: time for path, time in notes.items() if path not in set(expired)}
    if expired:
        tree.write(NOTES, JSON, [msgspec.json.encode(left)])
        oci_tree.write_lists(tree, {_repository_of(path) for path in expired})
    return Removed(len(expired), sum(files.get(path, 0) for path in expired), len(left))


def find_unreferenced(tree: Tree, files: Iterable[str]) -> set[str]:
    """Return the manifests, blobs and lists of referrers that no tag leads to."""
    by_repository: dict[str, set[str]] = {}
    for path in files:
        if (name := _repository_of(path)) and not path.endswith("/tags/list"):
            by_repository.setdefault(name, set()).add(path)
    unneeded: set[str] = set()
    for name, paths in by_repository.items():
        unneeded |= paths - _find_needed(tree, f"{oci_tree.ROOT}{name}", paths)
    return unneeded


def _find_needed(tree: Tree, folder: str, paths: set[str]) -> set[str]:
    manifests = f"{folder}/manifests/"
    tags = {path.removeprefix(manifests) for path in paths if path.startswith(manifests) and ":" not in path}
    attachments = {tag for tag in tags if is_attachment_tag(tag)}
    needed: set[str] = set()
    pending = [f"{manifests}{tag}" for tag in tags - attachments]
    while pending:
        path = pending.pop()
        if path in needed or path not in paths:
            continue
        needed.add(path)
        node = oci_tree.read_node(tree, path)
        if node is None:
            continue
        name = node.descriptor.digest
        pending.append(f"{manifests}{name}")
        pending += [f"{manifests}{child.digest}" for child in node.children]
        needed |= {f"{folder}/blobs/{blob.digest}" for blob in node.blobs} & paths
        referrers = f"{folder}/referrers/{name}"
        if referrers in paths and referrers not in needed:
            needed.add(referrers)
            links = parse_referrers(tree.read(referrers) or b"{}", referrers)
            pending += [f"{manifests}{link.digest}" for link in links]
        stem = name.replace(":", "-")
        pending += [f"{manifests}{tag}" for tag in attachments if tag.partition(".")[0] == stem]
    return needed


def _removal_order(path: str) -> tuple[bool, bool, str]:
    """Sort tags before manifests and manifests before blobs: what is there can always be pulled whole."""
    return "/blobs/" in path, ":" in path.rpartition("/")[2], path


def _repository_of(path: str) -> str:
    """Return the repository that a file belongs to, "" for none."""
    folder, _, kind = path.removeprefix(oci_tree.ROOT).rpartition("/")[0].rpartition("/")
    return folder if kind in oci_tree.RESERVED else ""


def _read_notes(tree: Tree) -> dict[str, int]:
    try:
        return msgspec.json.decode(tree.read(NOTES) or b"{}", type=dict[str, int])
    except msgspec.MsgspecError:
        return {}  # everything waits for the grace period once more
