"""Checks, before an image is read or built, that it can be written to a location afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import UsageError
from pumice.image.transports.locations import LAYOUT, STDOUT, make_platforms_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.formats.oci import Platform
    from pumice.image.transports.locations import Address, Location


def check_place(address: Address) -> None:
    """Check that the file or directory of a location can be written, before its image is read or built.

    Nothing is changed. Raises ImageError.
    """
    if address.transport.is_file:
        from pumice.image.output import check_file

        check_file(address.path)
    elif address.transport == LAYOUT:
        from pumice.image.transports.layout_writer import check_layout_directory

        check_layout_directory(Path(address.path))
    elif address.transport.is_directory:
        from pumice.image.unpack import check_new_directory

        check_new_directory(Path(address.path))


def check_destinations(
    destinations: Sequence[Location], *, name: str, version: str, platforms: Sequence[Platform]
) -> None:
    """Check, before an image is built, that it can be written afterwards.

    ``platforms`` are those that the image will have. Raises UsageError and ImageError.
    """
    if sum(location.address.path == STDOUT for location in destinations) > 1:
        raise UsageError("only one destination can be standard output")
    for location in destinations:
        if location.address.transport.has_one_platform and len(platforms) > 1:
            raise make_platforms_error(location.address, platforms)
        if location.address.transport.is_converted:
            from pumice.image.aci_platforms import find_architecture

            for platform in platforms:
                find_architecture(platform)
        location.check(name, version)
        check_place(location.address)
