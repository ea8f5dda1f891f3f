"""Segments: the selected files of one package as gzip members, cut once and cached.

A segment is a normalized tar stream without an end of archive, so that segments can be concatenated
into layers. Its entries are in the order of the package, which is deterministic and needs no
buffering. It depends only on the package's digest, the selection and the format.
"""

from __future__ import annotations

import io
import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.cache_keys import cache_key
from pumice.formats import gzip, tar
from pumice.formats.compression import DecompressedStream
from pumice.formats.tar import Entry
from pumice.packing.layer_plan import LayerDigests
from pumice.packing.segment_writer import SegmentItem, SegmentWriter
from pumice.packing.selection import Selection, merged_usr_path
from pumice.packing.tree import PackageFacts
from pumice.recipe.lock import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pumice.digest import Digest
    from pumice.store.blobs import Blobs

DPKG_INFO_DIRECTORY = "var/lib/dpkg/info"
DOC_DIRECTORY = "usr/share/doc"


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """The description of a segment; ``blob`` is the digest of its bytes.

    ``members`` are the compressed sizes of its gzip members. ``directories`` are shipped directories
    that are kept, ``parents`` those that are kept only as parents of other entries, and ``dropped`` the
    paths left out. ``newest`` is the time of the package in seconds since the epoch. ``layer`` are the
    digests of its layer if it was cut with ``has_own_layer``. ``sha512`` (hex) is that of the package
    file, ``copyright`` the content of ``/usr/share/doc/PACKAGE/copyright``.
    """

    blob: str
    size: int
    tar_size: int
    members: tuple[int, ...]
    items: tuple[SegmentItem, ...]
    directories: tuple[Entry, ...]
    parents: tuple[Entry, ...]
    dropped: tuple[str, ...]
    facts: PackageFacts
    newest: int
    layer: LayerDigests | None = None
    sha512: str = ""
    copyright: bytes = b""


class AddedEntry(msgspec.Struct, frozen=True):
    """An entry to add to a segment, with the content of a file."""

    entry: Entry
    content: bytes = b""


class SegmentChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a segment: paths to hide, and directories and files with other attributes.

    ``contents`` are other contents for regular files, by path. ``added`` are further entries, hard links
    after their targets; ``parents`` are further directories that are kept only as parents of other entries.
    ``format`` is the format of the lock.
    """

    hide: tuple[str, ...] = ()
    directories: tuple[Entry, ...] = ()
    files: tuple[Entry, ...] = ()
    contents: dict[str, bytes] = {}
    added: tuple[AddedEntry, ...] = ()
    parents: tuple[Entry, ...] = ()
    format: int = FORMAT

    def __bool__(self) -> bool:
        """Whether there is any change."""
        return bool(self.hide or self.directories or self.files or self.contents or self.added)


def segment_key(package_sha256: str, selection: Selection) -> Digest:
    """Return the cache key of the segment of a package."""
    return cache_key("segment", package_sha256, selection)


def changed_segment_key(original_key: Digest, changes: SegmentChanges) -> Digest:
    """Return the cache key of a changed segment, from the key of the original segment.

    The digest of the blob is not enough: packages with equal files have equal blobs but other fields.
    """
    return cache_key("segment", original_key, changes)


def identify_large_libraries(stream: SegmentWriter, blob: Digest, blobs: Blobs) -> None:
    """Identify the libraries that ``stream`` could not buffer, by reading them from ``blob``."""
    read_plain = gzip.random_access_reader(lambda: blobs.open(blob), stream.members, stream.tar_size)
    stream.identify_large_libraries(read_plain)


def link_targets(segment: Segment) -> Iterator[str]:
    """Yield the target path of each link of a segment, those of symbolic links made absolute."""
    for segment_item in segment.items:
        if segment_item.entry.kind == "symlink":
            directory = posixpath.dirname(segment_item.entry.path)
            yield merged_usr_path(
                posixpath.normpath(posixpath.join("/", directory, segment_item.entry.link)).lstrip("/")
            )
        elif segment_item.entry.kind == "hardlink":
            yield segment_item.entry.link


def content_reader(segment: Segment, blobs: Blobs) -> Callable[[str], bytes]:
    """Return a function that reads a file of a segment by path; it raises KeyError for any other path."""
    items_by_path = {segment_item.entry.path: segment_item for segment_item in segment.items}
    read_plain = gzip.random_access_reader(
        lambda: blobs.open(segment.blob), segment.members, segment.tar_size
    )
    return lambda path: read_plain(items_by_path[path].offset, items_by_path[path].entry.size)


def change_segment(segment: Segment, changes: SegmentChanges, blobs: Blobs) -> Segment:
    """Return ``segment`` with ``changes``, rewritten from its own bytes without the package.

    The first hard link to a hidden file becomes a regular file with its content.
    """
    with blobs.open(segment.blob) as file, blobs.writer() as writer:
        stream = SegmentWriter(writer.write, has_own_layer=segment.layer is not None)
        rewriter = _Rewriter(segment, changes, stream, content_reader(segment, blobs))
        for entry, content in tar.read_entries(DecompressedStream(file, "gzip")):
            rewriter.add(entry, content)
        for added in changes.added:
            rewriter.add_new(added)
        layer = stream.close()
        blob = writer.commit()
    identify_large_libraries(stream, blob, blobs)
    return msgspec.structs.replace(
        segment,
        blob=blob,
        size=sum(stream.members),
        tar_size=stream.tar_size,
        members=stream.members,
        items=tuple(stream.items),
        directories=rewriter.directories,
        parents=rewriter.parents,
        layer=layer,
    )


class _Rewriter:
    """Writes the changed entries of a segment to ``stream``."""

    def __init__(
        self,
        segment: Segment,
        changes: SegmentChanges,
        stream: SegmentWriter,
        read_content: Callable[[str], bytes],
    ) -> None:
        """``read_content`` reads a file of the segment by its path."""
        self._stream = stream
        self._read_content = read_content
        self._hidden = set(changes.hide)
        self._changed_directories = {entry.path: entry for entry in changes.directories}
        self._changed_files = {entry.path: entry for entry in changes.files}
        self._contents = changes.contents
        self._originals = {item.entry.path: item.entry for item in segment.items}
        self._promoted_links: dict[str, str] = {}
        """The hard link that has become the file, by the path of the hidden file."""
        new_directories = tuple(added.entry for added in changes.added if added.entry.kind == "dir")
        self.directories = (*self._change_directories(segment.directories), *new_directories)
        self.parents = (*self._change_directories(segment.parents), *changes.parents)
        self._attributes = {entry.path: entry for entry in (*self.parents, *self.directories)}

    def _change_directories(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        return tuple(
            self._changed_directories.get(entry.path, entry)
            for entry in entries
            if entry.path not in self._hidden
        )

    def add(self, original: Entry, content: tar.Source) -> None:
        """Write an entry of the segment as the changes leave it, unless they hide it."""
        if original.path in self._hidden:
            return
        entry = _with_attributes_of(original, self._changed_files.get(original.path, original))
        if entry.kind == "dir":
            directory = self._changed_directories.get(entry.path, entry)
            self._stream.add_directory(directory, self._attributes)
        elif entry.kind == "hardlink" and entry.link in self._hidden:
            self._promote_hard_link(entry)
        elif entry.path in self._contents:
            self._add_content(entry, self._contents[entry.path])
        else:
            self._stream.add(entry, content, self._attributes)

    def add_new(self, added: AddedEntry) -> None:
        """Write an entry that the segment does not have."""
        if added.entry.kind == "dir":
            self._stream.add_directory(added.entry, self._attributes)
        else:
            self._add_content(added.entry, added.content)

    def _add_content(self, entry: Entry, content: bytes) -> None:
        if entry.kind == "file":
            entry = msgspec.structs.replace(entry, size=len(content))
        self._stream.add(entry, io.BytesIO(content), self._attributes)

    def _promote_hard_link(self, link: Entry) -> None:
        """Write a hard link to a hidden file as that file, or as a link to the one that became it."""
        link = _with_attributes_of(link, self._originals.get(link.link, link))
        promoted = self._promoted_links.setdefault(link.link, link.path)
        if promoted != link.path:
            self._add_content(msgspec.structs.replace(link, link=promoted), b"")
            return
        regular_file = msgspec.structs.replace(link, kind="file", link="")
        self._add_content(regular_file, self._read_content(link.link))


def _with_attributes_of(entry: Entry, other: Entry) -> Entry:
    return msgspec.structs.replace(entry, mode=other.mode, uid=other.uid, gid=other.gid)
