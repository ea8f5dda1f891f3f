"""Reads an App Container image as an image of one layer, which waits in an unnamed temporary file.

The layer has the entries of the archive in their order, without their prefix. Reading checks everything
about the archive, so an image that was opened is valid.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar

import msgspec

from pumice import digest
from pumice.appc.aci_archive import AciReader
from pumice.appc.image_manifest import encode_document, read_image_manifest
from pumice.appc.streams import BackgroundHash, open_compressor
from pumice.errors import FormatError, ImageError
from pumice.formats import oci, tar
from pumice.formats.compression import DecompressedStream
from pumice.image import aci_conversion
from pumice.image.aci_conversion import APPC_IMAGE_ID, APPC_MANIFEST
from pumice.image.model import Archive, Image
from pumice.image.regular_file import open_regular, read_failures
from pumice.image.transports import archive_members
from pumice.os_errors import IMAGE, suggest_path, translate_os_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from pumice.appc.image_manifest import ImageManifest
    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.formats.tar import Body, Entry, Source
    from pumice.image.transports.archive_members import ArchiveIndex
    from pumice.progress import Progress

_CHUNK = 1 << 18


class ValidatedAci(msgspec.Struct, frozen=True):
    """What is known about an image after it was read as a whole."""

    manifest: ImageManifest
    image_id: str
    compression: str
    warnings: tuple[str, ...]


def validate_aci(path: Path, *, non_standard: bool = False) -> ValidatedAci:
    """Read an image as a whole and check it; raises ImageError, FormatError."""
    with open_reader(path, non_standard=non_standard) as reader:
        reader.check()
        return _describe(reader)


def read_manifest(path: Path, *, non_standard: bool = False) -> bytes:
    """Return the bytes of an image's manifest, reading no further than it; raises ImageError, FormatError."""
    with open_reader(path, non_standard=non_standard) as reader:
        return reader.read_manifest()


class ConvertedLayer(Protocol):
    """The layer of an image, which an unnamed file has, or will have."""

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the compressed layer."""

    @property
    def diff_id(self) -> Digest:
        """The digest of the layer's tar."""

    def open(self) -> BinaryIO:
        """Open the compressed layer."""

    def entries(self) -> Iterator[tuple[Entry, Body]]:
        """Yield the entries."""


class ReadAci(msgspec.Struct, frozen=True):
    """An image that was read: what is known about it, its files as a layer, and its archive."""

    validated: ValidatedAci
    layer: ConvertedLayer
    archive: Archive

    @property
    def sizes(self) -> tuple[int, ...]:
        """The size of the file in bytes, if it is known."""
        return self.archive.status[2:3]

    def image(self) -> Image:
        """Return the image without its dependencies; its whitelist is not applied. Raises FormatError."""
        manifest = self.validated.manifest
        with naming_file(self.archive.path):
            return make_image(manifest, self.validated.image_id, (self.layer,)).inside(self.archive)


def read_aci(path: Path, progress: Progress, *, non_standard: bool = False) -> ReadAci:
    """Return an image; raises ImageError, FormatError. See `aci_rendering` for its dependencies."""
    status = archive_members.read_status(path)
    with open_reader(path, progress, non_standard=non_standard) as reader:
        layer = write_layer(reader.entries())
        return ReadAci(_describe(reader), layer, Archive(path, status))


_Layer = TypeVar("_Layer", bound=ConvertedLayer)


def convert_aci(
    source: Source,
    find_size: Callable[[int], int],
    write: Callable[[Iterator[tuple[Entry, Body]]], _Layer],
) -> tuple[ValidatedAci, _Layer]:
    """Return what is known about an image, and the layer that ``write`` makes of its entries.

    ``find_size`` is as for `AciReader`. Raises FormatError, and whatever ``source`` and ``write`` raise.
    """
    with AciReader(source, find_size) as reader:
        layer = write(reader.entries())
        return _describe(reader), layer


class WrittenLayer(msgspec.Struct, frozen=True):
    """A layer in an unnamed file."""

    descriptor: Descriptor
    diff_id: Digest
    file: ArchiveIndex

    def open(self) -> BinaryIO:
        """Open the compressed layer."""
        return archive_members.open_member(self.file, 0, self.descriptor.size)

    def entries(self) -> Iterator[tuple[Entry, Body]]:
        """Yield the entries; this process wrote them, so they are not verified."""
        with self.open() as file:
            yield from tar.read_entries(DecompressedStream(file))


def write_layer(entries: Iterator[tuple[Entry, Body]]) -> WrittenLayer:
    """Write entries as a compressed layer; raises FormatError and ImageError."""
    where = f"a temporary file in {tempfile.gettempdir()}"
    with translate_os_errors(where, IMAGE), tempfile.TemporaryFile() as content:
        blob_hash = hashlib.sha256()

        def write(data: bytes | bytearray | memoryview) -> None:
            blob_hash.update(data)
            content.write(data)

        compressor = open_compressor("gzip", write)
        try:
            with BackgroundHash(hashlib.sha256()) as tar_hash:
                for chunk in encode_entries(entries):
                    tar_hash.update(chunk)
                    compressor.write(chunk)
                compressor.close()
                diff_id = f"sha256:{tar_hash.finish()[0]}"
        finally:
            compressor.abandon()
        content.flush()
        unnamed_file = archive_members.UnnamedFile(content.fileno())
        size = content.tell()
    descriptor = oci.Descriptor(oci.LAYER_GZIP, f"sha256:{blob_hash.hexdigest()}", size)
    return WrittenLayer(
        descriptor, diff_id, archive_members.ArchiveIndex({}, {}, unnamed_file.path, unnamed_file)
    )


def make_image(manifest: ImageManifest, image_id: str, layers: Sequence[ConvertedLayer]) -> Image:
    """Return the image of a manifest and its layers, base first; raises FormatError."""
    config, annotations = aci_conversion.make_config(_resolve_owners(manifest, layers))
    config["rootfs"] = {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}
    config.pop("history", None)
    config_data = _encode_json(config)
    oci.read_config(config_data)
    annotations = {
        **annotations,
        APPC_MANIFEST: _encode_manifest(manifest).decode(),
        APPC_IMAGE_ID: image_id,
    }
    document = oci.encode_document(
        oci.make_manifest(
            oci.make_descriptor(config_data, oci.CONFIG),
            tuple(layer.descriptor for layer in layers),
            annotations=annotations,
        )
    )
    documents = {digest.of(data): data for data in (config_data, document)}
    return Image(oci.make_descriptor(document, oci.MANIFEST), _AciBlobs(documents, layers))


def _encode_manifest(manifest: ImageManifest) -> bytes:
    """Return the bytes of a manifest, also of one with unknown isolators that canonical JSON cannot have."""
    try:
        return encode_document(manifest)
    except FormatError:
        return _encode_json(msgspec.to_builtins(manifest))


def _encode_json(document: object) -> bytes:
    # Unlike canonical JSON, this has floating-point numbers, which other tools may have in a config.
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def is_converted(image: Image) -> bool:
    """Return whether this process converted an image, so that its annotations can be relied on."""
    return isinstance(image.blobs, _AciBlobs)


class _AciBlobs:
    """The documents of an image in memory, and its layers in unnamed files."""

    def __init__(self, documents: dict[Digest, bytes], layers: Sequence[ConvertedLayer]) -> None:
        self._documents = documents
        self._layers = {layer.descriptor.digest: layer for layer in layers}

    def open(self, digest_: Digest) -> BinaryIO:
        """Open a blob; raises ImageError if there is none."""
        if digest_ in self._documents:
            return io.BytesIO(self._documents[digest_])
        if digest_ not in self._layers:
            raise ImageError(f"the image has no blob {digest_[:100]}")
        return self._layers[digest_].open()


def _resolve_owners(manifest: ImageManifest, layers: Iterable[ConvertedLayer]) -> ImageManifest:
    """Replace a user or group that is the path of a file by the number of that file's owner."""
    app = manifest.app
    if app is None or not (app.user.startswith("/") or app.group.startswith("/")):
        return manifest
    paths = {text: tar.normalize_path(text.encode()) for text in (app.user, app.group) if text[:1] == "/"}
    owners: dict[str, Entry] = {}
    for layer in layers:
        for entry, _ in layer.entries():
            if entry.path in paths.values():
                owners[entry.path] = entry
    for text, path in paths.items():
        if path not in owners:
            raise FormatError(
                f"the user or group is the owner of {text[:200]!r}, which the image does not have"
            )
    user, group = (
        str(getattr(owners[paths[text]], field)) if text in paths else text
        for text, field in ((app.user, "uid"), (app.group, "gid"))
    )
    return msgspec.structs.replace(manifest, app=msgspec.structs.replace(app, user=user, group=group))


def encode_entries(entries: Iterator[tuple[Entry, Body]]) -> Iterator[bytes | memoryview]:
    """Yield the tar archive of the entries; raises FormatError for what a layer cannot have."""
    for entry, body in entries:
        if "/.wh." in f"/{entry.path}":
            raise FormatError(
                f"{entry.path[:200]!r} begins with .wh., which marks removed files in layers of OCI images",
                hint="rename the file: pumice aci extract FILE DIR, then pumice aci build DIR FILE",
            )
        yield tar.encode_header(entry)
        while data := body.read_some(_CHUNK):
            yield data
        yield bytes(tar.padding_size(entry.size))
    yield tar.END_OF_ARCHIVE


class _ProgressFile:
    """A file that reports how much of it was read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.progress: Callable[[int], object] = _ignore

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self.progress(len(data))
        return data

    def fileno(self) -> int:
        return self._file.fileno()

    def __enter__(self) -> _ProgressFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()


def _ignore(_: int) -> None:
    """Report nothing."""


def _open(path: Path) -> _ProgressFile:
    file = open_regular(path)
    if file is None:
        raise ImageError("the file does not exist", where=str(path), hint=suggest_path(path))
    return _ProgressFile(file)


@contextmanager
def open_reader(
    path: Path, progress: Progress | None = None, *, non_standard: bool = False
) -> Iterator[AciReader]:
    """Give the reader of an image; raises ImageError, and FormatError with the file as its place."""
    with _open(path) as file, _reader(file, path, non_standard=non_standard) as reader:
        if progress is None:
            yield reader
            return
        with progress.task(f"reading {path}", os.fstat(file.fileno()).st_size) as task:
            file.progress = task.advance
            yield reader


@contextmanager
def _reader(file: _ProgressFile, path: Path, *, non_standard: bool) -> Iterator[AciReader]:
    size = os.fstat(file.fileno()).st_size
    with (
        naming_file(path),
        read_failures(path),
        AciReader(file, lambda _: size, non_standard=non_standard) as reader,
    ):
        yield reader


@contextmanager
def naming_file(path: Path | str) -> Iterator[None]:
    """Give FormatErrors the file as their place."""
    try:
        yield
    except FormatError as error:
        where = f"{path}: {error.where}" if error.where else str(path)
        raise FormatError(error.message, where=where, hint=error.hint) from None


def _describe(reader: AciReader) -> ValidatedAci:
    manifest, warnings = read_image_manifest(reader.manifest)
    return ValidatedAci(manifest, reader.image_id, reader.compression, warnings)
