"""Opens App Container images that were read before without reading them again, until a file is needed.

What a whole read found out (the manifest, the image ID, and the digests of the converted layer) is a record
under the status of the file. The layer is converted again only if it is opened, which running does not do if
the root file system is prepared already.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Literal

import msgspec

from pumice.appc.image_manifest import encode_document, read_image_manifest
from pumice.cache_keys import cache_key
from pumice.decoding import decode_msgpack
from pumice.errors import FormatError, ImageError, StoreError
from pumice.files import file_stamp
from pumice.formats.oci import Descriptor
from pumice.image import aci_reader
from pumice.image.aci_reader import ReadAci, ValidatedAci
from pumice.image.model import Archive
from pumice.image.stat_cache import read_boot_id
from pumice.image.transports import archive_members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pumice.appc.image_manifest import ImageManifest
    from pumice.digest import Digest
    from pumice.formats.tar import Body, Entry
    from pumice.image.aci_reader import ConvertedLayer
    from pumice.image.stat_cache import Records
    from pumice.progress import Progress

_KIND: Literal["aci"] = "aci"


class AciRecord(msgspec.Struct, frozen=True):
    """What a whole read of an image found out."""

    manifest: bytes
    image_id: str
    compression: str
    warnings: tuple[str, ...]
    layer: Descriptor
    diff_id: str

    def validated(self) -> ValidatedAci:
        """Return what the record says about the image."""
        manifest, _ = read_image_manifest(self.manifest)
        return ValidatedAci(manifest, self.image_id, self.compression, self.warnings)


def open_aci(path: Path, records: Records, progress: Progress, *, non_standard: bool = False) -> ReadAci:
    """Return an image as `aci_reader.read_aci` does; raises ImageError, FormatError."""
    key = _make_key(path, non_standard=non_standard)
    record = load_record(key, records) if key else None
    status = archive_members.read_status(path)
    # The status is what signatures are bound to, so it must be that of the file that the record is about.
    if record is not None and key == _make_key(path, non_standard=non_standard):
        layer = UnreadLayer(record, lambda: aci_reader.read_aci(path, progress, non_standard=True), str(path))
        return ReadAci(record.validated(), layer, Archive(path, status))
    read = aci_reader.read_aci(path, progress, non_standard=non_standard)
    if key and key == _make_key(path, non_standard=non_standard):
        save_record(key, read.validated, read.layer, records)
    return read


def find_manifest(path: Path, records: Records) -> ImageManifest | None:
    """Return the manifest of an image, reading no further than it; None if the file is not an image.

    A file that was read before is not read again.
    """
    stamp = _make_key(path, non_standard=False)
    if stamp and (record := load_record(stamp, records)) is not None:
        return read_image_manifest(record.manifest)[0]
    key = cache_key(_KIND, "manifest", stamp)
    data = records.get(_KIND, key) if stamp else None
    if data is None:
        try:
            data = aci_reader.read_manifest(path)
        except (ImageError, FormatError):
            data = b""
        if stamp:
            with suppress(StoreError):  # a store that is read-only
                records.put(_KIND, key, data)
    try:
        return read_image_manifest(data)[0] if data else None
    except FormatError:
        return None


def save_record(key: Digest, validated: ValidatedAci, layer: ConvertedLayer, records: Records) -> None:
    """Keep what a read found out; a failure only costs another read."""
    try:
        record = AciRecord(
            encode_document(validated.manifest),
            *(validated.image_id, validated.compression, validated.warnings),
            *(layer.descriptor, layer.diff_id),
        )
        records.put(_KIND, key, msgspec.msgpack.encode(record))
    except (FormatError, StoreError):  # a manifest that cannot be written, or a store that is read-only
        return


def _make_key(path: Path, *, non_standard: bool) -> Digest:
    """Return the key of a file as it is now, "" if it cannot be recognized."""
    boot = read_boot_id()
    try:
        status = os.stat(path)  # noqa: PTH116 - of the file that a link leads to
    except (OSError, ValueError):
        return ""
    return cache_key(_KIND, boot, status.st_dev, file_stamp(status), non_standard) if boot else ""


def load_record(key: Digest, records: Records) -> AciRecord | None:
    """Return the record under a key, None if there is none."""
    data = records.get(_KIND, key)
    try:
        return None if data is None else decode_msgpack(data, AciRecord)
    except (msgspec.MsgspecError, FormatError):  # damaged
        return None


class UnreadLayer:
    """The layer of an image that was read before; it is read again when it is opened.

    ``where`` names the image in the error if it is another one by then.
    """

    def __init__(self, record: AciRecord, read: Callable[[], ReadAci], where: str) -> None:
        self.descriptor = record.layer
        self.diff_id = record.diff_id
        self._read = read
        self._where = where
        self._read_image: ReadAci | None = None

    def open(self) -> BinaryIO:
        """Open the compressed layer; raises ImageError if the image has changed."""
        return self._read_again().layer.open()

    def entries(self) -> Iterator[tuple[Entry, Body]]:
        """Yield the entries; raises as `open`."""
        return self._read_again().layer.entries()

    def _read_again(self) -> ReadAci:
        if self._read_image is None:
            self._read_image = self._read()
            if self._read_image.layer.descriptor != self.descriptor:
                raise ImageError("the file changed while it was used", where=self._where[:200])
        return self._read_image
