"""Cuts the segment of a package: selects its files while it is decompressed, in bounded memory.

The package is hostile input: special files, duplicates and names that a layer cannot hold are refused.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import re
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.errors import FormatError
from pumice.formats import deb, tar
from pumice.formats.lines import split_lines
from pumice.formats.tar import Entry
from pumice.packing.package_inventory import MAX_COPYRIGHT, PackageInventory, is_copyright, read_needed
from pumice.packing.package_lists import LIST_SUFFIXES, filter_list
from pumice.packing.segment_writer import SegmentWriter
from pumice.packing.segments import (
    DPKG_INFO_DIRECTORY,
    Segment,
    SegmentChanges,
    change_segment,
    identify_large_libraries,
    link_targets,
)
from pumice.packing.selection import (
    ALIASED_DIRECTORIES,
    ListedPaths,
    Selection,
    is_left_out,
    is_outside,
    merged_usr_path,
)
from pumice.packing.tree import PackageFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pumice.digest import Digest
    from pumice.packing.layer_plan import LayerDigests
    from pumice.store.blobs import Blobs

_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]*")


def cut_segment(
    file: BinaryIO,
    selection: Selection,
    blobs: Blobs,
    inventory: PackageInventory | None = None,
    *,
    remember: Callable[[PackageInventory], object] = lambda _: None,
) -> Segment:
    """Cut the segment of a package file, in bounded memory, and write its bytes into ``blobs``.

    With its ``inventory``, only as much of the package is read as slices need; without, ``remember`` is
    called with it. Raises FormatError for a malformed or hostile package, ImageError for a file name that a
    layer cannot hold.
    """
    segment, implied_directories, found = _cut_once(file, selection, blobs, inventory)
    if inventory is None:
        remember(found)
    while keep := _find_paths_to_keep(segment, selection):  # known only at the end, because links come last
        selection = msgspec.structs.replace(selection, keep=keep)
        segment, implied_directories, _ = _cut_once(file, selection, blobs, found)
        if selection.format < 2:
            break
    # An entry of ``lib`` may need ``usr/lib`` before the package's own entry of ``usr``.
    own_directories = segment.directories if selection.paths is None else _shipped_directories(segment)
    wrong_directories = [
        entry
        for entry in own_directories
        if entry.path in implied_directories and not _has_default_attributes(entry)
    ]
    changes = SegmentChanges(directories=tuple(wrong_directories), format=selection.format)
    return change_segment(segment, changes, blobs) if changes else segment


def _shipped_directories(segment: Segment) -> tuple[Entry, ...]:
    return (*segment.directories, *segment.parents)


def _has_default_attributes(entry: Entry) -> bool:
    return (entry.mode, entry.uid, entry.gid, entry.xattrs) == (0o755, 0, 0, {})


def _cut_once(
    file: BinaryIO, selection: Selection, blobs: Blobs, inventory: PackageInventory | None
) -> tuple[Segment, set[str], PackageInventory]:
    control = deb.read_control(file)
    with blobs.writer() as writer:
        stream = SegmentWriter(writer.write, has_own_layer=selection.has_own_layer)
        cutter = _SegmentCutter(selection, control, stream, package_sha512(file))
        entries = []
        for entry, content in _read_entries(file, cutter, inventory):
            entries.append(entry)
            cutter.add(entry, content)
        cutter.add_info()
        layer = stream.close()
        blob = writer.commit()
    identify_large_libraries(stream, blob, blobs)
    segment = cutter.segment(blob, layer)
    return segment, stream.implied_directories, PackageInventory(tuple(entries), segment.copyright)


def _read_entries(
    file: BinaryIO, cutter: _SegmentCutter, inventory: PackageInventory | None
) -> Iterator[tuple[Entry, tar.Source]]:
    if inventory is None or cutter.listed is None:
        return tar.read_entries(deb.open_data(file))
    return read_needed(file, cutter.package, inventory, cutter.is_listed)


def _find_paths_to_keep(segment: Segment, selection: Selection) -> tuple[str, ...]:
    """Return the paths to keep for a new cut, because kept links point at them; empty if none is missing.

    Slices list the targets of symbolic links themselves. Whether to keep a directory depends on the other
    packages (`pumice.packing.link_targets`).
    """
    if selection.paths is not None:
        present = {item.entry.path for item in segment.items}
        links = {item.entry.link for item in segment.items if item.entry.kind == "hardlink"}
        targets = links.difference(present, selection.keep)
    else:
        dropped = set(segment.dropped)
        if selection.format < 2:
            dropped.update(entry.path for entry in segment.parents)
        targets = {target for target in link_targets(segment) if target in dropped}
    return tuple(sorted({*selection.keep, *targets})) if targets else ()


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
        self._directory_entries: dict[str, Entry] = {}
        self._left_out_directories: set[str] = set()
        self._file_paths: set[str] = set()
        self._dropped: list[str] = []
        self.package = control.fields["Package"]
        self.listed = None if selection.paths is None else ListedPaths(selection)
        self._listed_paths: set[str] = set()
        """The paths that slices list, in the package and in the image, and the directories above them."""
        self._shipped_paths = ["/."]
        self._conffiles = _read_conffile_paths(control)
        self._md5_sums: dict[str, str] = {}
        self._needs_md5 = selection.includes_dpkg_info and "md5sums" not in control.files

    def add(self, entry: Entry, content: tar.Source) -> None:
        if not entry.path:
            return
        _refuse_special_entries(entry)
        self._shipped_paths.append("/" + entry.path)
        path = merged_usr_path(entry.path)
        link = merged_usr_path(entry.link) if entry.kind == "hardlink" else entry.link
        if is_outside(path, self._selection) or (
            entry.kind == "hardlink" and is_outside(link, self._selection)
        ):
            return
        is_listed = self._check_listed(entry, path)
        if entry.kind == "dir":
            self._add_directory(_move_entry(entry, path, ""), is_listed=is_listed)
        else:
            self._add_file(_move_entry(entry, path, link), entry.path, content, is_listed=is_listed)

    def _add_file(self, entry: Entry, original_path: str, content: tar.Source, *, is_listed: bool) -> None:
        """Add a file or link; ``original_path`` is its path in the package."""
        path = entry.path
        if path in self._file_paths or path in self._directory_entries:
            raise FormatError(f"the package ships {path!r} twice")
        if entry.kind == "hardlink" and entry.link not in self._file_paths:
            message = f"the package has the hard link {path!r}, but not its target {entry.link!r}"
            raise FormatError(message)
        self._file_paths.add(path)
        is_copyright_file = entry.kind == "file" and is_copyright(path, self.package)
        if not is_listed:
            if is_copyright_file:
                self._keep_copyright(entry, content)
            return
        needs_md5 = entry.kind == "file" and (self._needs_md5 or "/" + original_path in self._conffiles)
        if is_left_out(path, self._selection, is_link=entry.kind == "symlink"):
            self._dropped.append(path)
            if needs_md5:
                self._md5_sums[original_path] = _compute_md5(content)
            return
        source: tar.Source
        if is_copyright_file:
            source = self._keep_copyright(entry, content)
        else:
            source = content
        md5 = self._stream.add(entry, source, self._directory_entries, md5=needs_md5)
        if needs_md5:
            self._md5_sums[original_path] = md5

    def is_listed(self, entry: Entry) -> bool:
        """Whether slices list an entry of the package."""
        path = merged_usr_path(entry.path)
        return self.listed is None or self.listed.include(entry.path, path, is_directory=entry.kind == "dir")

    def _check_listed(self, entry: Entry, path: str) -> bool:
        """Return whether slices list an entry, which has ``path`` in the image; remember those that do."""
        if self.listed is None:
            return True
        if not self.is_listed(entry):
            return False
        self._remember_listed(entry.path)
        self._remember_listed(path)
        return True

    def _remember_listed(self, path: str) -> None:
        while path and path not in self._listed_paths:
            self._listed_paths.add(path)
            path = posixpath.dirname(path)

    def _stays(self, path: str) -> bool:
        return self.listed is None or path.strip("/") in self._listed_paths or path == "/."

    def _keep_copyright(self, entry: Entry, content: tar.Source) -> tar.Source:
        """Keep the text of the copyright file, so that it need not be decompressed again later."""
        if entry.size > MAX_COPYRIGHT:
            return content
        self._copyright = content.read(entry.size)
        return io.BytesIO(self._copyright)

    def _add_directory(self, entry: Entry, *, is_listed: bool) -> None:
        if entry.path in ALIASED_DIRECTORIES or entry.path in self._directory_entries:
            return
        if entry.path in self._file_paths:
            raise FormatError(f"the package ships {entry.path!r} twice")
        self._directory_entries[entry.path] = entry
        if is_left_out(entry.path, self._selection, is_directory=True):
            self._left_out_directories.add(entry.path)
        elif is_listed:
            self._stream.add_directory(entry, self._directory_entries)

    def add_info(self) -> None:
        """Add dpkg's files about an installed package (dpkg-query(1), ``info`` directory)."""
        if not self._selection.includes_dpkg_info:
            return
        for suffix, content in self._make_info_files():
            path = f"{DPKG_INFO_DIRECTORY}/{_make_info_name(self._control.fields)}.{suffix}"
            self._stream.add(
                Entry(path, "file", 0o644, size=len(content)), io.BytesIO(content), self._directory_entries
            )

    def _make_info_files(self) -> Iterator[tuple[str, bytes]]:
        files = {name: content for name, content in self._control.files.items() if name in LIST_SUFFIXES}
        files["list"] = ("\n".join(self._shipped_paths) + "\n").encode()
        if "md5sums" not in files:
            sums = [
                f"{self._md5_sums[path]}  {path}\n"
                for path in self._md5_sums
                if "/" + path not in self._conffiles
            ]
            files["md5sums"] = "".join(sums).encode()
        for suffix in ("conffiles", "list", "md5sums"):
            content = self._filter(suffix, files[suffix]) if suffix in files else b""
            if content or (suffix in files and self.listed is None):
                yield suffix, content

    def _filter(self, suffix: str, content: bytes) -> bytes:
        return content if self.listed is None else filter_list(content, suffix, self._stays)

    def _split_directories(self) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
        """Return the directories that are kept, and those that are kept only as parents of other entries."""
        left_out = {
            path
            for path in self._directory_entries
            if path in self._left_out_directories or not self._stays(path)
        }
        return (
            tuple(entry for path, entry in self._directory_entries.items() if path not in left_out),
            tuple(entry for path, entry in self._directory_entries.items() if path in left_out),
        )

    def _control_files(self) -> dict[str, bytes]:
        """Return the control files that effects read."""
        return {
            name: self._filter(name, content) if name == "conffiles" else content
            for name, content in self._control.files.items()
            if name != "md5sums"
        }

    def segment(self, blob: Digest, layer: LayerDigests | None) -> Segment:
        fields = self._control.fields
        directories, parents = self._split_directories()
        conffiles = {path: self._md5_sums[path[1:]] for path in self._conffiles if path[1:] in self._md5_sums}
        return Segment(
            blob=blob,
            size=sum(self._stream.members),
            tar_size=self._stream.tar_size,
            members=self._stream.members,
            items=tuple(self._stream.items),
            directories=directories,
            parents=parents,
            dropped=tuple(self._dropped),
            facts=PackageFacts(
                name=fields["Package"],
                version=fields["Version"],
                architecture=fields["Architecture"],
                fields=fields,
                files={} if self._selection.only else self._control_files(),
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


def _compute_md5(content: tar.Source) -> str:
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


def _read_conffile_paths(control: deb.Control) -> tuple[str, ...]:
    """Return the paths of configuration files, without lines that start with a flag (deb-conffiles(5))."""
    lines = split_lines(control.files.get("conffiles", b"").decode("utf-8", "replace"))
    return tuple(line.strip() for line in lines if line.startswith("/"))


def _make_info_name(fields: dict[str, str]) -> str:
    if fields.get("Multi-Arch") == "same":
        return f"{fields['Package']}:{fields['Architecture']}"
    return fields["Package"]
