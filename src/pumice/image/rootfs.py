"""Writes the root file system of an image to a tar file or a directory.

The layers are read twice: once for the entry that each path shows, once for the contents. So only names
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
    """What a root file system is written to: directories first, then the rest, and no path twice."""

    def add_directory(self, entry: Entry) -> None:
        """Add a directory; its parents are there already."""

    def add_entry(self, entry: Entry, body: Body) -> None:
        """Add anything else, a file with its content."""

    def add_hardlink(self, entry: Entry) -> None:
        """Add a hard link to a file that is there already."""


def merge_layers(layers: Iterable[Layer]) -> dict[str, VisibleEntry]:
    """Return what each path of an image shows (see `flatten`), reading and checking every layer."""
    return flatten(_entries(layer) for layer in layers)


def _entries(layer: Layer) -> Iterator[Entry]:
    for entry, _ in layer.entries():
        yield entry


def write_tar(image: Image, output: Output, *, progress: Progress) -> None:
    """Write the root of an image of one platform as a tar file: equal images, equal bytes."""
    layers = image.layers()
    with translate_os_errors(str(output), IMAGE):
        _write(layers, merge_layers(layers), _TarWriter(output), progress, f"writing {output}")
        output.file.write(tar.END_OF_ARCHIVE)


def write_directory(image: Image, path: Path, *, progress: Progress) -> dict[str, VisibleEntry]:
    """Unpack the root of an image of one platform into a new or empty folder.

    Owners, devices and capabilities need root; without it they are left out, and a note says so.
    Returns what each path shows. Raises ImageError, and leaves nothing behind then.
    """
    from pumice.image.unpack import unpack_into

    layers = image.layers()
    tree = merge_layers(layers)
    with unpack_into(path, progress) as folder:
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
        else:  # hard links to links and devices exist, but few programs know
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
