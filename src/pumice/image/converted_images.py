"""OCI images as App Container images: what `pumice convert` would write, as a manifest, an ID and a layer.

Layers become one, because their whiteouts and hard links are for the image alone. What a conversion found out
is a record under the digest of the image, so it is converted again only if the layer is opened.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.cache_keys import cache_key
from pumice.image import aci_reader, aci_writer
from pumice.image.aci_cache import UnreadLayer, load_record, save_record
from pumice.image.output import Output
from pumice.progress import Silent

if TYPE_CHECKING:
    from pumice.appc.image_manifest import ImageManifest
    from pumice.image.aci_reader import ConvertedLayer, ReadAci, ValidatedAci
    from pumice.image.aci_writer import AciOptions
    from pumice.image.model import Image
    from pumice.image.stat_cache import Records
    from pumice.progress import Progress


class ConvertedImage(msgspec.Struct, frozen=True):
    """An image of one platform that was converted."""

    validated: ValidatedAci
    layer: ConvertedLayer


def describe_image(image: Image, options: AciOptions) -> ImageManifest:
    """Return the manifest without reading a layer, so its group may be another. Raises PumiceError."""
    return aci_writer.make_manifest(image, options, b"")


def convert_image(
    image: Image, options: AciOptions, directory: Path, records: Records, progress: Progress
) -> ConvertedImage:
    """Return a converted image; ``directory`` is for temporary files. Raises PumiceError."""
    key = cache_key("aci", "converted", image.root.digest, options.name, options.version)

    def convert() -> ReadAci:
        return _convert(image, options, directory, progress)

    if (record := load_record(key, records)) is not None:
        return ConvertedImage(record.validated(), UnreadLayer(record, convert, options.name))
    converted = convert()
    save_record(key, converted.validated, converted.layer, records)
    return ConvertedImage(converted.validated, converted.layer)


def _convert(image: Image, options: AciOptions, directory: Path, progress: Progress) -> ReadAci:
    uncompressed = msgspec.structs.replace(options, compression="none")
    with (
        tempfile.TemporaryDirectory(dir=directory, prefix="convert-") as folder,
        progress.task(f"converting {options.name}"),
    ):
        path = Path(folder) / "image.aci"
        with Output(str(path)) as output:
            aci_writer.write_aci(image, output, uncompressed, Silent())
        return aci_reader.read_aci(path, Silent())
