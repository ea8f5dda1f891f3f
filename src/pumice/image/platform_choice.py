"""Chooses the platform of an image that a person means who named none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.formats import platforms

if TYPE_CHECKING:
    from pumice.image.model import Image


def select_platform(image: Image, platform: str, machine: str) -> Image:
    """Return the image of the named platform, else of the machine's, else of the only one.

    ``machine`` is a name of uname(2). Raises UsageError for a malformed platform, ImageError if the image
    does not have it or has several and none is for the machine.
    """
    if platform:
        return image.select(platforms.parse_platform(platform))
    image_platforms = image.platforms()
    machine_platform = platforms.from_machine(machine)
    if len(image_platforms) > 1 and platforms.choose_platform(image_platforms, machine_platform) is not None:
        return image.select(machine_platform)
    return image.select()
