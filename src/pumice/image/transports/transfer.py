"""Copies images with all their referrers from one location to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import ImageError
from pumice.formats import oci
from pumice.image import graph
from pumice.image.transports.gathered_image import GatheredImage, image_of
from pumice.image.transports.locations import OutgoingImage

if TYPE_CHECKING:
    from pumice.formats.oci import Platform
    from pumice.image.transports.locations import Access, Counts, Location, OpenedImage


def gather_image(
    opened_image: OpenedImage, *, with_referrers: bool = True, platform: Platform | None = None
) -> GatheredImage:
    """Read all documents of an image, or of one platform of it; referrers only if ``with_referrers`` is true.

    Raises PumiceError.
    """
    source, root = opened_image.source(), opened_image.image.root
    if platform is not None:
        root = opened_image.image.select(platform).root
    return GatheredImage(
        graph.gather_graph(source, oci.bare_descriptor(root), with_referrers=with_referrers),
        source,
        opened_image.repository,
    )


def copy_image(
    gathered: GatheredImage, opened_image: OpenedImage, destination: Location, access: Access
) -> Counts:
    """Write a gathered image to a location; raises PumiceError if any part of it cannot be copied."""
    address = destination.address
    if address.transport.has_one_platform and (count := len(gathered.graph.list_referrers())):
        raise ImageError(
            f"a {address.transport.name} cannot hold the signatures, SBOMs and other referrers ({count})",
            where=str(address),
            hint="leave them out with --only-image, or write an oci-archive:",
        )
    outgoing = OutgoingImage(
        image=image_of(gathered),
        name=opened_image.name,
        version=opened_image.version,
        gathered=gathered,
        archive_mark=opened_image.archive_mark,
    )
    return destination.write(outgoing, access)
