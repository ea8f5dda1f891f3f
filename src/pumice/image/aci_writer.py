"""Writes an image as an App Container image: one root file system, its entries in the order of a tree walk.

The layers are read twice: for the names, and for the contents. A content that comes earlier in a layer than
in the tree waits in an unnamed temporary file. So the bytes depend on the root file system and the config
only, not on the layers, and memory holds names only.
"""

from __future__ import annotations

import tempfile
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
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import IO

    from pumice.appc.image_manifest import ImageManifest
    from pumice.appc.streams import Compression
    from pumice.formats.tar import Body, Entry
    from pumice.image.layer import Layer
    from pumice.image.model import Image
    from pumice.image.output import Output
    from pumice.progress import Progress

_CHUNK = 1 << 20
_USERS = "etc/passwd"
_MAX_USERS = 1 << 20


class AciOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How an image is written: its name and version, and the compression of the file."""

    name: str
    version: str = ""
    compression: Compression = "gzip"


class ScannedLayers(msgspec.Struct, frozen=True):
    """The tree of an image, and the content of its ``/etc/passwd``."""

    tree: dict[str, VisibleEntry]
    passwd: bytes


def write_aci(image: Image, output: Output, options: AciOptions, progress: Progress) -> str:
    """Write the image of one platform; return its image ID. Raises PumiceError."""
    layers = image.layers()
    scanned_layers = scan_layers(layers)
    manifest = make_manifest(image, options, scanned_layers.passwd)
    return write_tree(manifest, scanned_layers.tree, layers, output, options.compression, progress)


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


def scan_layers(layers: Sequence[Layer]) -> ScannedLayers:
    """Read and verify every layer; return the tree."""
    passwd: dict[Origin, bytes] = {}

    def read_entries(number: int, layer: Layer) -> Iterator[Entry]:
        for position, (entry, body) in enumerate(layer.entries(in_background=True)):
            if entry.path == _USERS and entry.kind == "file" and entry.size <= _MAX_USERS:
                passwd[Origin(number, position)] = body.read()
            yield entry

    tree = flatten(read_entries(number, layer) for number, layer in enumerate(layers))
    visible_entry = tree.get(_USERS)
    return ScannedLayers(tree, passwd.get(visible_entry.origin, b"") if visible_entry else b"")


def write_tree(
    manifest: ImageManifest,
    tree: Mapping[str, VisibleEntry],
    layers: Sequence[Layer],
    output: Output,
    compression: Compression,
    progress: Progress,
) -> str:
    """Write an image with a manifest and the visible entries of layers; return its image ID."""
    total = sum(visible_entry.entry.size for visible_entry in tree.values())
    encoded_manifest = encode_image_manifest(manifest)
    with (
        progress.task(f"writing {output}", total) as task,
        translate_os_errors(str(output), IMAGE),
        AciWriter(encoded_manifest, compression, output.file.write) as writer,
        tempfile.TemporaryFile() as spool,
    ):
        ordered = _OrderedEntries(tree, writer, spool)
        for origin, entry, body in _read_contents(layers):
            if ordered.wants(origin):
                ordered.add(origin, entry, body)
                task.advance(entry.size)
        ordered.finish()
        return writer.finish()


def _read_contents(layers: Iterable[Layer]) -> Iterator[tuple[Origin, Entry, Body]]:
    for number, layer in enumerate(layers):
        for position, (entry, body) in enumerate(layer.entries(in_background=True)):
            yield Origin(number, position), entry, body


class _OrderedEntries:
    """Writes entries in the order of a tree, whatever the order in which their contents arrive."""

    def __init__(self, tree: Mapping[str, VisibleEntry], writer: AciWriter, spool: IO[bytes]) -> None:
        self._writer = writer
        self._spool = spool
        self._end = 0
        self._entries: dict[Origin, Entry] = {}
        """Entries as they are written, under the first of their names."""
        self._pending = self._plan(tree)
        self._next = next(self._pending, None)
        self._spooled: dict[Origin, int] = {}
        self._write_available()

    def wants(self, origin: Origin) -> bool:
        """Return whether the content of an entry is needed."""
        return origin in self._entries

    def add(self, origin: Origin, entry: Entry, body: Body) -> None:
        """Take the content of an entry that is wanted."""
        if self._next is not None and self._next[0] == origin:
            self._writer.add(self._entries.pop(origin), body)
            self._next = next(self._pending, None)
            self._write_available()
            return
        self._spooled[origin] = self._end
        self._spool.seek(self._end)
        while chunk := body.read(_CHUNK):
            self._spool.write(chunk)
        self._end += entry.size

    def finish(self) -> None:
        """Raise FormatError if a content is missing."""
        if self._next is not None:
            raise FormatError(
                "a layer has other content than when it was read before", where=self._next[1].path
            )

    def _plan(self, tree: Mapping[str, VisibleEntry]) -> Iterator[tuple[Origin | None, Entry]]:
        """Return the entries in order, each with the origin of its content; None if it has none."""
        plan: list[tuple[Origin | None, Entry]] = []
        first_names: dict[Origin, str] = {}
        for path, (entry, origin) in tree.items():
            if "/.wh." in f"/{path}":  # only image formats without layers could have it
                raise FormatError(
                    "the name begins with .wh., which marks removed files in layers", where=path
                )
            named = msgspec.structs.replace(entry, path=path)
            if entry.kind != "file":
                plan.append((None, named))
            elif origin in first_names:
                link = msgspec.structs.replace(
                    named, kind="hardlink", size=0, link=first_names[origin], xattrs={}
                )
                plan.append((None, link))
            else:
                first_names[origin] = path
                plan.append((origin if entry.size else None, named))
                if entry.size:
                    self._entries[origin] = named
        return iter(plan)

    def _write_available(self) -> None:
        while self._next is not None:
            origin, entry = self._next
            if origin is None:
                self._writer.add(entry)
            elif origin in self._spooled:
                self._spool.seek(self._spooled.pop(origin))
                self._writer.add(self._entries.pop(origin), self._spool)
            else:
                return
            self._next = next(self._pending, None)


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
