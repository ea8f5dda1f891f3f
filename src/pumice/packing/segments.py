"""Segments: the selected files of one package as gzip members, cut once and cached.

A segment is a normalized tar stream without an end of archive, so that segments can be concatenated
into layers. Its entries are in the order of the package, which is deterministic and needs no
buffering. It depends only on the package's digest, the selection and the format.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import re
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.cache_keys import cache_key
from pumice.errors import FormatError
from pumice.formats import deb, gzip, tar
from pumice.formats.compression import DecompressedStream
from pumice.formats.tar import Entry
from pumice.packing.layer_plan import LayerDigests
from pumice.packing.segment_writer import SegmentItem, SegmentWriter
from pumice.packing.selection import ALIASED_DIRECTORIES, Selection, is_left_out, merged_usr_path
from pumice.packing.tree import PackageFacts
from pumice.recipe.lock import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pumice.digest import Digest
    from pumice.store.blobs import Blobs

DPKG_INFO_DIRECTORY = "var/lib/dpkg/info"
DOC_DIRECTORY = "usr/share/doc"
_MAX_COPYRIGHT = 4 << 20
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]*")


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


class SegmentChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a segment: paths to hide, and directories with other attributes.

    ``format`` is the format of the lock.
    """

    hide: tuple[str, ...] = ()
    directories: tuple[Entry, ...] = ()
    format: int = FORMAT

    def __bool__(self) -> bool:
        """Whether there is any change."""
        return bool(self.hide or self.directories)


def segment_key(package_sha256: str, selection: Selection) -> Digest:
    """Return the cache key of the segment of a package."""
    return cache_key("segment", package_sha256, selection)


def changed_segment_key(original_key: Digest, changes: SegmentChanges) -> Digest:
    """Return the cache key of a changed segment, from the key of the original segment.

    The digest of the blob is not enough: packages with equal files have equal blobs but other fields.
    """
    return cache_key("segment", original_key, changes)


def cut_segment(file: BinaryIO, selection: Selection, blobs: Blobs) -> Segment:
    """Cut the segment of a package file, in bounded memory, and write its bytes into ``blobs``.

    Raises FormatError for a malformed or hostile package, ImageError for a file name that a layer
    cannot hold.
    """
    segment, implied_directories = _cut_once(file, selection, blobs)
    while keep := _paths_to_keep(segment, selection):  # known only at the end, because links come last
        selection = msgspec.structs.replace(selection, keep=keep)
        segment, implied_directories = _cut_once(file, selection, blobs)
        if selection.format < 2:
            break
    # An entry of ``lib`` may need ``usr/lib`` before the package's own entry of ``usr``.
    wrong_directories = [
        entry
        for entry in segment.directories
        if entry.path in implied_directories and not _has_default_attributes(entry)
    ]
    changes = SegmentChanges(directories=tuple(wrong_directories), format=selection.format)
    return change_segment(segment, changes, blobs) if changes else segment


def _has_default_attributes(entry: Entry) -> bool:
    return (entry.mode, entry.uid, entry.gid, entry.xattrs) == (0o755, 0, 0, {})


def _cut_once(file: BinaryIO, selection: Selection, blobs: Blobs) -> tuple[Segment, set[str]]:
    control = deb.read_control(file)
    with blobs.writer() as writer:
        stream = SegmentWriter(writer.write, has_own_layer=selection.has_own_layer)
        cutter = _SegmentCutter(selection, control, stream, package_sha512(file))
        for entry, content in tar.read_entries(deb.open_data(file)):
            cutter.add(entry, content)
        cutter.add_info()
        layer = stream.close()
        blob = writer.commit()
    _identify_large_libraries(stream, blob, blobs)
    return cutter.segment(blob, layer), stream.implied_directories


def _identify_large_libraries(stream: SegmentWriter, blob: Digest, blobs: Blobs) -> None:
    read_plain = gzip.random_access_reader(lambda: blobs.open(blob), stream.members, stream.tar_size)
    stream.identify_large_libraries(read_plain)


def _paths_to_keep(segment: Segment, selection: Selection) -> tuple[str, ...]:
    """Return the paths to keep for a new cut, because kept links point at them; empty if none is missing.

    Whether to keep a directory depends on the other packages (`pumice.packing.link_targets`).
    """
    dropped = set(segment.dropped)
    if selection.format < 2:
        dropped.update(entry.path for entry in segment.parents)
    targets = {target for target in link_targets(segment) if target in dropped}
    return tuple(sorted({*selection.keep, *targets})) if targets else ()


def link_targets(segment: Segment) -> Iterator[str]:
    """Yield the target path of each link of a segment, those of symbolic links made absolute."""
    for item in segment.items:
        if item.entry.kind == "symlink":
            directory = posixpath.dirname(item.entry.path)
            yield merged_usr_path(
                posixpath.normpath(posixpath.join("/", directory, item.entry.link)).lstrip("/")
            )
        elif item.entry.kind == "hardlink":
            yield item.entry.link


def content_reader(segment: Segment, blobs: Blobs) -> Callable[[str], bytes]:
    """Return a function that reads a file of a segment by path; it raises KeyError for any other path."""
    items = {item.entry.path: item for item in segment.items}
    read_plain = gzip.random_access_reader(
        lambda: blobs.open(segment.blob), segment.members, segment.tar_size
    )
    return lambda path: read_plain(items[path].offset, items[path].entry.size)


def change_segment(segment: Segment, changes: SegmentChanges, blobs: Blobs) -> Segment:
    """Return ``segment`` with ``changes``, rewritten from its own bytes without the package.

    The first hard link to a hidden file becomes a regular file with its content.
    """
    hidden = set(changes.hide)
    changed_directories = {entry.path: entry for entry in changes.directories}
    directories = _change_directories(segment.directories, changed_directories, hidden)
    parents = _change_directories(segment.parents, changed_directories, hidden)
    attributes = {entry.path: entry for entry in (*parents, *directories)}
    promoted: dict[str, str] = {}
    read_content = content_reader(segment, blobs)
    with blobs.open(segment.blob) as file, blobs.writer() as writer:
        stream = SegmentWriter(writer.write, has_own_layer=segment.layer is not None)
        for entry, content in tar.read_entries(DecompressedStream(file, "gzip")):
            if entry.path in hidden:
                continue
            if entry.kind == "dir":
                stream.add_directory(changed_directories.get(entry.path, entry), attributes)
            elif entry.kind == "hardlink" and entry.link in hidden:
                _promote_hard_link(stream, entry, attributes, promoted, read_content)
            else:
                stream.add(entry, content, attributes)
        layer = stream.close()
        blob = writer.commit()
    _identify_large_libraries(stream, blob, blobs)
    return msgspec.structs.replace(
        segment,
        blob=blob,
        size=sum(stream.members),
        tar_size=stream.tar_size,
        members=stream.members,
        items=tuple(stream.items),
        directories=directories,
        parents=parents,
        layer=layer,
    )


def _change_directories(
    entries: tuple[Entry, ...], changed_directories: dict[str, Entry], hidden: set[str]
) -> tuple[Entry, ...]:
    return tuple(changed_directories.get(entry.path, entry) for entry in entries if entry.path not in hidden)


def _promote_hard_link(
    stream: SegmentWriter,
    entry: Entry,
    attributes: Mapping[str, Entry],
    promoted: dict[str, str],
    read_content: Callable[[str], bytes],
) -> None:
    if entry.link in promoted:
        hard_link = msgspec.structs.replace(entry, link=promoted[entry.link])
        stream.add(hard_link, io.BytesIO(), attributes)
        return
    content = read_content(entry.link)
    promoted[entry.link] = entry.path
    regular_file = msgspec.structs.replace(entry, kind="file", link="", size=len(content))
    stream.add(regular_file, io.BytesIO(content), attributes)


class _SegmentCutter:
    """Decides for each entry of a package whether it is kept and at which path."""

    def __init__(
        self, selection: Selection, control: deb.Control, stream: SegmentWriter, sha512: str
    ) -> None:
        self._sha512 = sha512
        self._copyright = b""
        self._selection = selection
        self._control = control
        self._stream = stream
        self._directories: dict[str, Entry] = {}
        self._parents: dict[str, Entry] = {}
        self._directory_entries: dict[str, Entry] = {}
        self._file_paths: set[str] = set()
        self._dropped: list[str] = []
        self._shipped_paths = ["/."]
        self._conffiles = _conffile_paths(control)
        self._md5_sums: dict[str, str] = {}
        self._needs_md5 = selection.includes_dpkg_info and "md5sums" not in control.files

    def add(self, entry: Entry, content: tar.Body) -> None:
        if not entry.path:
            return
        _refuse_special_entries(entry)
        self._shipped_paths.append("/" + entry.path)
        path = merged_usr_path(entry.path)
        if entry.kind == "dir":
            self._add_directory(_move_entry(entry, path, ""))
            return
        if path in self._file_paths or path in self._directory_entries:
            raise FormatError(f"the package ships {path!r} twice")
        self._file_paths.add(path)
        needs_md5 = entry.kind == "file" and (self._needs_md5 or "/" + entry.path in self._conffiles)
        if is_left_out(path, self._selection, is_link=entry.kind == "symlink"):
            self._dropped.append(path)
            if needs_md5:
                self._md5_sums[entry.path] = _content_md5(content)
            return
        link = merged_usr_path(entry.link) if entry.kind == "hardlink" else entry.link
        source: tar.Source
        if entry.kind == "file" and path == f"{DOC_DIRECTORY}/{self._control.fields['Package']}/copyright":
            source = self._keep_copyright(entry, content)
        else:
            source = content
        md5 = self._stream.add(_move_entry(entry, path, link), source, self._directory_entries, md5=needs_md5)
        if needs_md5:
            self._md5_sums[entry.path] = md5

    def _keep_copyright(self, entry: Entry, content: tar.Source) -> tar.Source:
        """Keep the text of the copyright file, so that it need not be decompressed again later."""
        if entry.size > _MAX_COPYRIGHT:
            return content
        self._copyright = content.read(entry.size)
        return io.BytesIO(self._copyright)

    def _add_directory(self, entry: Entry) -> None:
        if entry.path in ALIASED_DIRECTORIES or entry.path in self._directory_entries:
            return
        if entry.path in self._file_paths:
            raise FormatError(f"the package ships {entry.path!r} twice")
        self._directory_entries[entry.path] = entry
        if is_left_out(entry.path, self._selection, is_directory=True):
            self._parents[entry.path] = entry
        else:
            self._directories[entry.path] = entry
            self._stream.add_directory(entry, self._directory_entries)

    def add_info(self) -> None:
        """Add dpkg's files about an installed package (dpkg-query(1), ``info`` directory)."""
        if not self._selection.includes_dpkg_info:
            return
        for suffix, content in self._info_files():
            path = f"{DPKG_INFO_DIRECTORY}/{_info_name(self._control.fields)}.{suffix}"
            self._stream.add(
                Entry(path, "file", 0o644, size=len(content)), io.BytesIO(content), self._directory_entries
            )

    def _info_files(self) -> Iterator[tuple[str, bytes]]:
        if "conffiles" in self._control.files:
            yield "conffiles", self._control.files["conffiles"]
        yield "list", ("\n".join(self._shipped_paths) + "\n").encode()
        if "md5sums" in self._control.files:
            yield "md5sums", self._control.files["md5sums"]
        else:
            sums = [
                f"{self._md5_sums[path]}  {path}\n"
                for path in self._md5_sums
                if "/" + path not in self._conffiles
            ]
            yield "md5sums", "".join(sums).encode()

    def segment(self, blob: Digest, layer: LayerDigests | None) -> Segment:
        fields = self._control.fields
        conffiles = {path: self._md5_sums[path[1:]] for path in self._conffiles if path[1:] in self._md5_sums}
        return Segment(
            blob=blob,
            size=sum(self._stream.members),
            tar_size=self._stream.tar_size,
            members=self._stream.members,
            items=tuple(self._stream.items),
            directories=tuple(self._directories.values()),
            parents=tuple(self._parents.values()),
            dropped=tuple(self._dropped),
            facts=PackageFacts(
                name=fields["Package"],
                version=fields["Version"],
                architecture=fields["Architecture"],
                fields=fields,
                files={name: data for name, data in self._control.files.items() if name != "md5sums"},
                conffiles=conffiles,
                installed=self._selection.includes_dpkg_info,
            ),
            newest=self._control.newest,
            layer=layer,
            sha512=self._sha512,
            copyright=self._copyright,
        )


def package_sha512(file: BinaryIO) -> str:
    """Return the SHA-512 of a package file in hexadecimal, which only evidence documents need."""
    file.seek(0)
    digest = hashlib.sha512()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _content_md5(content: tar.Body) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    while chunk := content.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _refuse_special_entries(entry: Entry) -> None:
    if entry.kind in ("char", "block", "fifo"):
        raise FormatError(f"the package ships a special file: {entry.path!r}")
    try:
        (entry.path + entry.link).encode()
    except UnicodeEncodeError:
        raise FormatError(f"the package has a file name that is not UTF-8: {entry.path!r}") from None
    if not _PRINTABLE.fullmatch(entry.path):  # dpkg's list of files has one name per line
        raise FormatError(f"the package has a file name with a control character: {entry.path!r}")


def _move_entry(entry: Entry, path: str, link: str) -> Entry:
    if path == entry.path and link == entry.link:
        return entry
    return msgspec.structs.replace(entry, path=path, link=link)


def _conffile_paths(control: deb.Control) -> tuple[str, ...]:
    """Return the paths of configuration files, without lines that start with a flag (deb-conffiles(5))."""
    lines = control.files.get("conffiles", b"").decode("utf-8", "replace").splitlines()
    return tuple(line.strip() for line in lines if line.startswith("/"))


def _info_name(fields: dict[str, str]) -> str:
    if fields.get("Multi-Arch") == "same":
        return f"{fields['Package']}:{fields['Architecture']}"
    return fields["Package"]
