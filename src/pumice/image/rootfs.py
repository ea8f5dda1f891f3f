"""Writes the root file system of an image to a tar file or a directory.

The layers are read twice: once to find the visible entry of each path, once for the contents. So only names
are kept in memory, and an archive of any size can be written to a pipe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from pumice.formats import tar
from pumice.image.flatten import Origin, VisibleEntry, flatten
from pumice.os_errors import IMAGE, translate_os_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pumice.formats.tar import Body, Entry
    from pumice.image.layer import Layer
    from pumice.image.model import Image
    from pumice.image.output import Output
    from pumice.progress import Progress

_CHUNK = 1 << 20


class RootfsWriter(Protocol):
    """A target for a root file system: directories are added first, and each path once."""

    def add_directory(self, entry: Entry) -> None:
        """Add a directory; its parents were added before."""

    def add_entry(self, entry: Entry, body: Body) -> None:
        """Add a file with its content, a link, a pipe or a device."""

    def add_hardlink(self, entry: Entry) -> None:
        """Add a hard link to a file that was added before."""


def merge_layers(layers: Iterable[Layer]) -> dict[str, VisibleEntry]:
    """Return the visible entry of each path (see `flatten`); reads and verifies every layer."""
    return flatten(_read_entries(layer) for layer in layers)


def _read_entries(layer: Layer) -> Iterator[Entry]:
    for entry, _ in layer.entries():
        yield entry


def write_tar(image: Image, output: Output, *, progress: Progress) -> None:
    """Write the root file system of one platform as a tar file; equal images give equal bytes."""
    layers = image.layers()
    with translate_os_errors(str(output), IMAGE):
        _write(layers, merge_layers(layers), _TarWriter(output), progress, f"writing {output}")
        output.file.write(tar.END_OF_ARCHIVE)


def write_directory(
    image: Image, path: Path, *, progress: Progress, set_owners: bool = True
) -> dict[str, VisibleEntry]:
    """Unpack the root file system of one platform into a new or empty directory.

    Only root can set owners and capabilities and create devices; otherwise they are omitted with a note.
    Without ``set_owners`` everything belongs to this user, without set-ID bits, even if it is root.
    Returns the visible entry of each path. Raises ImageError; then nothing is left in the directory.
    """
    from pumice.image.unpack import unpack_into

    layers = image.layers()
    tree = merge_layers(layers)
    with unpack_into(path, progress, set_owners=set_owners) as folder:
        _write(layers, tree, folder, progress, f"writing {path}")
    return tree


def _write(
    layers: Sequence[Layer],
    tree: dict[str, VisibleEntry],
    target: RootfsWriter,
    progress: Progress,
    label: str,
) -> None:
    paths: dict[Origin, list[str]] = {}
    total = 0
    for path, visible_entry in tree.items():
        if visible_entry.entry.kind == "dir":
            target.add_directory(msgspec.structs.replace(visible_entry.entry, path=path))
        else:
            if visible_entry.origin not in paths:
                total += visible_entry.entry.size
            paths.setdefault(visible_entry.origin, []).append(path)
    with progress.task(label, total) as task:
        for number, layer in enumerate(layers):
            for position, (entry, body) in enumerate(layer.entries()):
                names = paths.get(Origin(number, position))
                if names:
                    _put(entry, body, names, target)
                    task.advance(entry.size)


def _put(entry: Entry, body: Body, names: Sequence[str], target: RootfsWriter) -> None:
    """Write one file under all its names, the first of which has the content."""
    target.add_entry(msgspec.structs.replace(entry, path=names[0]), body)
    for name in names[1:]:
        if entry.kind == "file":
            target.add_hardlink(
                msgspec.structs.replace(entry, path=name, kind="hardlink", size=0, link=names[0])
            )
        else:  # few programs support hard links to links and devices
            target.add_entry(msgspec.structs.replace(entry, path=name), body)


class _TarWriter:
    """A tar file as a target."""

    def __init__(self, output: Output) -> None:
        self._file = output.file

    def add_directory(self, entry: Entry) -> None:
        self._file.write(tar.encode_header(entry))

    def add_entry(self, entry: Entry, body: Body) -> None:
        self._file.write(tar.encode_header(entry))
        while data := body.read(_CHUNK):
            self._file.write(data)
        self._file.write(bytes(tar.padding_size(entry.size)))

    def add_hardlink(self, entry: Entry) -> None:
        self._file.write(tar.encode_header(msgspec.structs.replace(entry, xattrs={})))
