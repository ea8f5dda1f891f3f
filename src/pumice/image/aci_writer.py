"""Writes an image as an App Container image: one root file system, its entries in the order of a tree walk.

The layers are read once, into an unnamed temporary file, because the order of the tree is known only after
all of them. So the bytes depend on the root file system and the config only, not on the layers, and memory
holds names only.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from pumice.appc.aci_archive import AciWriter
from pumice.appc.image_manifest import encode_image_manifest
from pumice.errors import FormatError
from pumice.formats import oci
from pumice.image import aci_conversion
from pumice.image.aci_conversion import OciDocuments
from pumice.image.flatten import Origin, VisibleEntry, flatten
from pumice.os_errors import IMAGE, translate_os_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from pumice.appc.image_manifest import ImageManifest
    from pumice.appc.streams import Compression
    from pumice.formats.tar import Entry
    from pumice.image.layer import Layer
    from pumice.image.model import Image
    from pumice.image.output import Output
    from pumice.progress import Progress

_USERS = "etc/passwd"
_MAX_USERS = 1 << 20


class AciOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How an image is written: its name and version, and the compression of the file."""

    name: str
    version: str = ""
    compression: Compression = "gzip"


class _UnpackedLayers(msgspec.Struct, frozen=True):
    """The tree of an image, and its layers in a file, with the positions of their contents there."""

    tree: dict[str, VisibleEntry]
    file: int
    positions: dict[Origin, int]

    def read_users(self) -> bytes:
        """Return ``/etc/passwd``, empty if there is none."""
        visible = self.tree.get(_USERS)
        if visible is None or visible.entry.kind != "file" or not 0 < visible.entry.size <= _MAX_USERS:
            return b""
        return os.pread(self.file, visible.entry.size, self.positions[visible.origin])


def write_aci(image: Image, output: Output, options: AciOptions, progress: Progress) -> str:
    """Write the image of one platform; return its image ID. Raises PumiceError."""
    with ExitStack() as stack:
        with _translate_errors():
            file = stack.enter_context(tempfile.TemporaryFile(buffering=0))
        layers = _unpack_layers(image.layers(), file)
        manifest = make_manifest(image, options, layers.read_users())
        return _write_tree(manifest, layers, output, options.compression, progress)


def make_manifest(image: Image, options: AciOptions, passwd: bytes) -> ImageManifest:
    """Return the manifest of an App Container image for the image of one platform."""
    manifest_data = image.document(image.root)
    manifest = oci.read_manifest(manifest_data)
    documents = OciDocuments(
        config=aci_conversion.read_config(image.document(manifest.config)),
        annotations=manifest.annotations,
        manifest_digest=image.root.digest,
        config_digest=manifest.config.digest,
    )
    return aci_conversion.make_manifest(
        documents, options.name, options.version, lambda user: _find_group(passwd, user)
    )


def _unpack_layers(layers: Sequence[Layer], file: BinaryIO) -> _UnpackedLayers:
    """Verify every layer and write it to a file, uncompressed; return the tree."""
    positions: dict[Origin, int] = {}

    def read_entries(number: int, layer: Layer) -> Iterator[Entry]:
        start = os.lseek(file.fileno(), 0, os.SEEK_CUR)
        with layer.open(in_background=True, copy=lambda data: _write_whole(file, data)) as stream:
            for index, (entry, _) in enumerate(layer.read_entries(stream)):
                if entry.size:
                    positions[Origin(number, index)] = start + stream.position
                yield entry

    tree = flatten(read_entries(number, layer) for number, layer in enumerate(layers))
    return _UnpackedLayers(tree, file.fileno(), positions)


def _write_whole(file: BinaryIO, data: bytes | bytearray | memoryview) -> None:
    rest = memoryview(data)
    with _translate_errors():
        while rest:
            rest = rest[file.write(rest) :]


def _translate_errors() -> AbstractContextManager[None]:
    return translate_os_errors(f"a temporary file in {tempfile.gettempdir()}", IMAGE)


def _write_tree(
    manifest: ImageManifest,
    layers: _UnpackedLayers,
    output: Output,
    compression: Compression,
    progress: Progress,
) -> str:
    """Write an image with a manifest and the visible entries of layers; return its image ID."""
    total = sum(visible_entry.entry.size for visible_entry in layers.tree.values())
    encoded_manifest = encode_image_manifest(manifest)
    with (
        progress.task(f"writing {output}", total) as task,
        translate_os_errors(str(output), IMAGE),
        AciWriter(encoded_manifest, compression, output.file.write) as writer,
    ):
        for entry, position in _list_entries(layers):
            writer.add(entry, _Content(layers.file, position) if entry.size else None)
            task.advance(entry.size)
        return writer.finish()


def _list_entries(layers: _UnpackedLayers) -> Iterator[tuple[Entry, int]]:
    """Yield the entries in the order of the tree, each with the position of its content in the file."""
    first_names: dict[Origin, str] = {}
    for path, (entry, origin) in layers.tree.items():
        if "/.wh." in f"/{path}":  # only image formats without layers could have it
            raise FormatError("the name begins with .wh., which marks removed files in layers", where=path)
        named = entry if entry.path == path else msgspec.structs.replace(entry, path=path)
        if entry.kind == "file" and origin in first_names:
            link = first_names[origin]
            named = msgspec.structs.replace(named, kind="hardlink", size=0, link=link, xattrs={})
        elif entry.kind == "file":
            first_names[origin] = path
        yield named, layers.positions.get(origin, 0)


class _Content:
    """What a file has from a position on."""

    def __init__(self, file: int, position: int) -> None:
        self._file = file
        self._position = position

    def read(self, size: int, /) -> bytes:
        data = os.pread(self._file, size, self._position)
        self._position += len(data)
        return data


def _find_group(passwd: bytes, user: str) -> str:
    """Return the primary group of a user, by its name or number; 0 if the image does not have the user."""
    for line in passwd.split(b"\n"):
        fields = line.decode("utf-8", "replace").split(":")
        if (
            len(fields) >= 4
            and user in (fields[0], fields[2])
            and fields[3].isascii()
            and fields[3].isdigit()
        ):
            return fields[3]
    return "0"
