"""App Container images: ``aci:FILE``, which is converted from and to an OCI image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import ImageError
from pumice.image.output import Output
from pumice.image.transports.locations import (
    Address,
    Description,
    OpenedImage,
    open_local_source,
    refuse_attaching,
    select_only_platform,
)

if TYPE_CHECKING:
    from pumice.appc.streams import Compression
    from pumice.image.model import Image
    from pumice.image.transports.locations import Access, Attachment, Counts, OutgoingImage


class ConversionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How images are converted: their name ("" for the one that they have), and the compression."""

    name: str = ""
    compression: Compression = "gzip"
    non_standard: bool = False


class AciLocation:
    """A file, or standard output."""

    def __init__(self, address: Address, options: ConversionOptions | None = None) -> None:
        self.address = address
        self._options = options or ConversionOptions()

    def open(self, access: Access) -> OpenedImage:
        """Return the image, without dependencies; raises ImageError, FormatError."""
        from pumice.appc.labels import find_value
        from pumice.image import aci_cache
        from pumice.store.archive_marks import ArchiveMark

        read_aci = aci_cache.open_aci(
            *(Path(self.address.path), access.home.records, access.progress),
            non_standard=self._options.non_standard,
        )
        for warning in read_aci.validated.warnings:
            access.progress.warn(f"{self.address}: {warning}")
        manifest = read_aci.validated.manifest
        if manifest.dependencies or manifest.path_whitelist:
            reason = "depends on other images" if manifest.dependencies else "has a path whitelist"
            raise ImageError(
                f"the image {reason}",
                where=str(self.address),
                hint=f"render it first with 'pumice aci render {self.address.path} aci:NEW.aci'",
            )
        image = read_aci.image()
        version = find_value(manifest.labels, "version") or ""
        mark = ArchiveMark(image_id=read_aci.validated.image_id, sizes=read_aci.sizes)
        return OpenedImage(image, lambda: open_local_source(image), manifest.name, version, archive_mark=mark)

    def check(self, name: str, version: str) -> None:
        """Refuse a name that App Container does not have."""
        from pumice.image import aci_conversion

        aci_conversion.check_image_name(self._options.name or name)

    def write(self, outgoing: OutgoingImage, access: Access) -> Counts:
        """Write the image to the file, or to standard output."""
        from pumice.image.aci_writer import AciOptions, write_aci

        image = select_only_platform(outgoing.image, self.address)
        self.check(outgoing.name, outgoing.version)
        options = AciOptions(
            name=self._options.name or outgoing.name,
            version=outgoing.version,
            compression=self._options.compression,
        )
        with Output(self.address.path, access.stdout) as output:
            write_aci(image, output, options, access.progress)
        return outgoing.counts()

    def attach(self, image: Image, access: Access) -> Attachment:
        """Raise UsageError: an archive is written once."""
        raise refuse_attaching(self.address)

    def describe(self, version: str = "") -> Description:
        """Return the description of the location."""
        return Description(str(self.address))
