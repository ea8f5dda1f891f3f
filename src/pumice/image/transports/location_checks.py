"""What a location accepts: one platform or several, its tags, and only reading or writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import ImageError, UsageError
from pumice.formats import platforms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.formats.oci import Platform
    from pumice.image.model import Image
    from pumice.image.transports.locations import Address, Transport

_SEPARATORS = frozenset("-._:@+")
_MAX_TAG = 255


def select_only_platform(image: Image, address: Address) -> Image:
    """Return the image of the only platform, for a location that holds one; raises ImageError."""
    members = image.members()
    if len(members) > 1:
        raise too_many_platforms_error(address, [platform for _, platform in members])
    return image.select()


def too_many_platforms_error(address: Address, image_platforms: Sequence[Platform]) -> ImageError:
    """Return the error for an image of several platforms and a location that holds one."""
    names = ", ".join(platforms.format_platform(platform) for platform in image_platforms)
    return ImageError(
        f"a {address.transport.name} holds one platform, but the image has {len(image_platforms)}",
        where=str(address),
        hint=f"choose one with --platform: {names}, or write an oci: layout, which holds all",
    )


def choose_tag(address: Address, version: str) -> str:
    """Return the tag of a location, or the version of the image if it has none; raises UsageError."""
    tag = address.tag or version
    if is_tag(tag):
        return tag
    problem = f"the version {tag!r} is not a valid tag" if tag else "the image needs a tag"
    raise UsageError(problem, where=str(address), hint=f"write {address.transport.scheme}{address.path}:TAG")


def is_tag(text: str) -> bool:
    """Whether ``text`` may be a reference name (annotations.md, org.opencontainers.image.ref.name).

    Written without a regular expression, because every build that writes a layout calls it.
    """
    return (
        len(text) <= _MAX_TAG
        and text.isascii()
        and all(_is_component(component) for component in text.split("/"))
    )


def _is_component(text: str) -> bool:
    is_separated = False
    for letter in text.replace("--", "-"):
        if not letter.isalnum() and (is_separated or letter not in _SEPARATORS):
            return False
        is_separated = not letter.isalnum()
    return text[:1].isalnum() and text[-1:].isalnum()


def refuse_reading(transport: Transport) -> UsageError:
    """Return the error of a location that is only written."""
    return UsageError(
        f"cannot read an image from {transport.scheme}", hint="write it as oci: or oci-archive: too"
    )


def refuse_attaching(address: Address) -> UsageError:
    """Return the error of a location that signatures cannot be added to."""
    return UsageError(
        "cannot add to an archive after it is written",
        where=str(address),
        hint="sign the image in the store or in an oci: layout, or sign the archive with an OpenPGP key",
    )
