"""Writes an image as an App Container image: one root file system, its entries in the order of a tree walk.

The layers are read twice: for the names and the positions of contents, and for the contents. A content that
comes earlier in a layer than in the tree waits in an unnamed temporary file. So the bytes depend on the root
file system and the config only, not on the layers, and memory holds names only.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import msgspec

from pumice.appc.aci_archive import AciWriter
from pumice.appc.image_manifest import encode_image_manifest
from pumice.errors import FormatError
from pumice.formats import oci
from pumice.formats.tar import Body
from pumice.image import aci_conversion
from pumice.image.aci_conversion import OciDocuments
from pumice.image.flatten import Origin, VisibleEntry, flatten
from pumice.os_errors import IMAGE, translate_os_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import IO

    from pumice.appc.image_manifest import ImageManifest
    from pumice.appc.streams import Compression
    from pumice.formats.tar import Entry
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
    """The tree of an image, where the contents of files are in their layers, and its ``/etc/passwd``."""

    tree: dict[str, VisibleEntry]
    positions: dict[Origin, int]
    passwd: bytes


def write_aci(image: Image, output: Output, options: AciOptions, progress: Progress) -> str:
    """Write the image of one platform; return its image ID. Raises PumiceError."""
    layers = image.layers()
    scanned_layers = scan_layers(layers)
    manifest = make_manifest(image, options, scanned_layers.passwd)
    return write_tree(manifest, scanned_layers, layers, output, options.compression, progress)


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
    positions: dict[Origin, int] = {}

    def read_entries(number: int, layer: Layer) -> Iterator[Entry]:
        with layer.open(in_background=True) as stream:
            for index, (entry, body) in enumerate(layer.read_entries(stream)):
                if entry.size:
                    positions[Origin(number, index)] = stream.position
                if entry.path == _USERS and entry.kind == "file" and entry.size <= _MAX_USERS:
                    passwd[Origin(number, index)] = body.read()
                yield entry

    tree = flatten(read_entries(number, layer) for number, layer in enumerate(layers))
    visible_entry = tree.get(_USERS)
    users = passwd.get(visible_entry.origin, b"") if visible_entry else b""
    return ScannedLayers(tree, positions, users)


def write_tree(
    manifest: ImageManifest,
    scanned_layers: ScannedLayers,
    layers: Sequence[Layer],
    output: Output,
    compression: Compression,
    progress: Progress,
) -> str:
    """Write an image with a manifest and the visible entries of layers; return its image ID."""
    tree = scanned_layers.tree
    total = sum(visible_entry.entry.size for visible_entry in tree.values())
    encoded_manifest = encode_image_manifest(manifest)
    with (
        progress.task(f"writing {output}", total) as task,
        translate_os_errors(str(output), IMAGE),
        AciWriter(encoded_manifest, compression, output.file.write) as writer,
        tempfile.TemporaryFile() as spool,
    ):
        ordered = _OrderedEntries(tree, writer, spool)
        for origin, body in _read_contents(layers, ordered.sizes(), scanned_layers.positions):
            task.advance(ordered.add(origin, body))
        ordered.finish()
        return writer.finish()


def _read_contents(
    layers: Iterable[Layer], sizes: Mapping[Origin, int], positions: Mapping[Origin, int]
) -> Iterator[tuple[Origin, Body]]:
    """Yield the contents with these sizes, in the order of the layers; raises TrustError for other layers."""
    origins: dict[int, list[Origin]] = {}
    for origin in sorted(sizes):
        origins.setdefault(origin.layer, []).append(origin)
    for number, layer in enumerate(layers):
        if number in origins:
            with layer.open(in_background=True) as stream:
                for origin in origins[number]:
                    stream.skip_to(positions[origin])
                    yield origin, Body(stream, sizes[origin])
                stream.finish()


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

    def sizes(self) -> dict[Origin, int]:
        """Return the size of each content that is needed."""
        return {origin: entry.size for origin, entry in self._entries.items()}

    def add(self, origin: Origin, body: Body) -> int:
        """Take the content of an entry that is needed; return its size."""
        size = self._entries[origin].size
        if self._next is not None and self._next[0] == origin:
            self._writer.add(self._entries.pop(origin), body)
            self._next = next(self._pending, None)
            self._write_available()
            return size
        self._spooled[origin] = self._end
        self._spool.seek(self._end)
        while chunk := body.read(_CHUNK):
            self._spool.write(chunk)
        self._end += size
        return size

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
            named = entry if entry.path == path else msgspec.structs.replace(entry, path=path)
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
