"""The root file system of an image as a tar file or a directory: ``tar:FILE`` and ``dir:DIR``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pumice.image import rootfs
from pumice.image.output import Output
from pumice.image.transports.locations import Address, Description, refuse_reading, select_only_platform

if TYPE_CHECKING:
    from pumice.image.model import Image
    from pumice.image.transports.locations import Access, Attachment, Counts, OpenedImage, OutgoingImage


class RootfsLocation:
    """A tar file, standard output, or a new or empty directory. It can only be written."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def open(self, access: Access) -> OpenedImage:
        """Raise UsageError: a root file system is not an image."""
        raise refuse_reading(self.address.transport)

    def check(self, name: str, version: str) -> None:
        """Accept every name and version: neither is written."""

    def write(self, outgoing: OutgoingImage, access: Access) -> Counts:
        """Write the root file system of the only platform."""
        image = select_only_platform(outgoing.image, self.address)
        if self.address.transport.is_directory:
            rootfs.write_directory(image, Path(self.address.path), progress=access.progress)
        else:
            with Output(self.address.path, access.stdout) as output:
                rootfs.write_tar(image, output, progress=access.progress)
        return outgoing.counts()

    def attach(self, image: Image, access: Access) -> Attachment:
        """Raise UsageError: a root file system is not an image."""
        raise refuse_reading(self.address.transport)

    def describe(self, version: str = "") -> Description:
        """Return the description of the location."""
        return Description(str(self.address))
