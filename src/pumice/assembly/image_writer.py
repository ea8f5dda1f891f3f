"""Writes a built image to the destinations that it was built for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.formats import platforms
from pumice.image.transports import destination_checks, locations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.assembly.image import BuiltImage
    from pumice.image.transports.locations import Access, Location
    from pumice.recipe.model import Recipe


def check_destinations(
    destinations: Sequence[Location], recipe: Recipe, architectures: Sequence[str]
) -> None:
    """Raise UsageError or ImageError, before an image is built, for what could not be written afterwards."""
    destination_checks.check_destinations(
        destinations,
        name=recipe.name,
        version=recipe.version,
        platforms=[platforms.from_debian(name) for name in architectures],
    )


def write_image(
    image: BuiltImage,
    recipe: Recipe,
    destinations: Sequence[Location],
    access: Access,
    *,
    referrers_in_index: bool = False,
) -> None:
    """Write an image of the store with its evidence and signatures to each destination; raises PumiceError.

    ``referrers_in_index`` also lists them in the ``index.json`` of a layout.
    """
    transports = [destination.address.transport for destination in destinations]
    if bare := [transport.scheme for transport in transports if transport.has_one_platform]:
        access.progress.note(
            f"SBOM, provenance and signatures are not written to {bare[0]}, which cannot hold them"
        )
    for destination in destinations:
        outgoing = locations.OutgoingImage(
            image=image.open(access.home),
            name=recipe.name,
            version=recipe.version,
            referrers_in_index=referrers_in_index,
        )
        destination.write(outgoing, access)
