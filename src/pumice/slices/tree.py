"""The files that slices select, before they are written: entries by path."""

from __future__ import annotations

import msgspec

from pumice.formats.tar import Entry


class PackageEntry(msgspec.Struct, frozen=True, gc=False):
    """An entry of a package. ``path`` is absolute, that of a directory ends with ``/``.

    ``source`` is the path under which the segment has the content, ``sha256`` its digest in hexadecimal.
    """

    path: str
    entry: Entry
    source: str
    sha256: str = ""


class PackageFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A package and its entries in the order of its archive; ``newest`` is its time in seconds since 1970."""

    name: str
    version: str
    architecture: str
    sha256: str
    newest: int
    entries: tuple[PackageEntry, ...]


class SlicedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that slices select or make, or a directory above one.

    ``source`` is the path in the segment of ``package``, empty if ``content`` is the content. ``slices`` are
    the full names of those that list the path and keep it, ``is_listed`` says whether any lists it.
    ``final_sha256`` is the digest after the scripts if they wrote the file.
    """

    entry: Entry
    package: str
    source: str = ""
    content: bytes = b""
    sha256: str = ""
    final_sha256: str = ""
    slices: tuple[str, ...] = ()
    is_listed: bool = False
    mutable: bool = False
    until_mutate: bool = False


SlicedTree = dict[str, SlicedEntry]
"""Entries by absolute path; those of directories end with ``/``."""


def path_of(entry: Entry) -> str:
    """Return the absolute path of an entry, with ``/`` at the end of a directory."""
    return f"/{entry.path}/" if entry.kind == "dir" else f"/{entry.path}"


def parents_of(path: str) -> list[str]:
    """Return the directories above a path, the nearest first, without the root."""
    parents = []
    at = path.rstrip("/").rfind("/")
    while at > 0:
        parents.append(path[: at + 1])
        at = path.rfind("/", 0, at)
    return parents
