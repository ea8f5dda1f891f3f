"""The location of an OCI image layout in a directory: ``oci:DIR[:TAG]``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pumice.image.transports import layout_index
from pumice.image.transports.layout import read_layout
from pumice.image.transports.locations import Address, Description, choose_tag

if TYPE_CHECKING:
    from pumice.image.model import Image
    from pumice.image.transports.locations import Access, Attachment, Counts, OpenedImage, OutgoingImage


class LayoutLocation:
    """A layout in a directory."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._directory = Path(address.path)

    def open(self, access: Access) -> OpenedImage:
        """Return the image; raises ImageError if there is none, or several."""
        return layout_index.open_image(read_layout(self._directory, self.address.tag), self.address.tag)

    def check(self, name: str, version: str) -> None:
        """Refuse a version that is not a tag."""
        choose_tag(self.address, version)

    def write(self, outgoing: OutgoingImage, access: Access) -> Counts:
        """Write the image; it replaces the image in the layout."""
        from pumice.image.transports import layout_writer

        present = layout_writer.write_layout(
            outgoing.image,
            self._directory,
            choose_tag(self.address, outgoing.version),
            records=access.home.records,
            progress=access.progress,
            name=outgoing.name,
            referrers_in_index=outgoing.referrers_in_index,
        )
        return outgoing.counts(present)

    def attach(self, image: Image, access: Access) -> Attachment:
        """Return an attachment that adds signatures to the image in the layout."""
        from pumice.image.transports.attachment import LayoutAttachment

        return LayoutAttachment(self._directory, image)

    def describe(self, version: str = "") -> Description:
        """Return the description of the location."""
        return Description(str(self.address))
