"""The labels that an image is discovered by: those of the request, and the platform of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.appc.app_strings import parse_image_reference
from pumice.discovery.tags import DEFAULT_VERSION
from pumice.errors import FormatError, UsageError
from pumice.formats import platforms
from pumice.formats.oci import Platform
from pumice.image.aci_platforms import OCI_PLATFORMS, find_architecture

if TYPE_CHECKING:
    from pumice.appc.image_manifest import ImageManifest
    from pumice.image.model import Image

_IN_NAME = frozenset({"version", "os", "arch"})
"""The labels that an OCI image has as its tag and its platform."""


class ImageRequest(msgspec.Struct, frozen=True):
    """An image that is asked for: its name, the labels that it must have, and all that it is found by."""

    name: str
    required: dict[str, str]
    labels: dict[str, str]

    @property
    def version(self) -> str:
        """The version, "" if any will do."""
        return self.required.get("version", "")

    def __str__(self) -> str:
        return f"{self.name}:{self.version}" if self.version else self.name


def parse_request(text: str, platform: Platform) -> ImageRequest:
    """Return the image that ``NAME[:VERSION][,LABEL=VALUE...]`` asks for; raises UsageError.

    Without the labels ``os`` and ``arch`` it is for ``platform``, or for no platform.
    """
    try:
        reference = parse_image_reference(text)
    except FormatError as error:
        raise UsageError(error.message, where=error.where, hint=error.hint) from None
    required = {label.name: label.value for label in reference.labels}
    return ImageRequest(reference.name, required, {**_platform_labels(platform), **required})


def make_request(manifest_name: str, labels: dict[str, str], platform: Platform) -> ImageRequest:
    """Return the request for a dependency of an image."""
    return ImageRequest(manifest_name, dict(labels), {**_platform_labels(platform), **labels})


def _platform_labels(platform: Platform) -> dict[str, str]:
    """Return the labels of a platform; one that App Container does not have keeps its name of OCI."""
    try:
        return {"os": platform.os, "arch": find_architecture(platform)}
    except FormatError:
        return {"os": platform.os, "arch": platform.architecture}


def check_manifest(manifest: ImageManifest, request: ImageRequest, where: str) -> None:
    """Raise FormatError unless an image is the one that was asked for (spec/discovery.md, "Validation")."""
    if manifest.name != request.name:
        raise FormatError(
            f"the image is {manifest.name[:100]!r}, not {request.name[:100]!r}",
            where=where,
            hint="its publisher serves another image at this place: nothing was stored",
        )
    actual = {label.name: label.value for label in manifest.labels}
    for label, value in request.labels.items():
        is_required = label in request.required
        if actual.get(label, None if is_required else value) != value:
            raise _label_error(label, actual.get(label, ""), value, where)


def check_oci_labels(image: Image, request: ImageRequest, where: str) -> None:
    """Raise FormatError unless an OCI image is for the requested platform, and has all other labels."""
    system, architecture = request.labels.get("os", ""), request.labels.get("arch", "")
    platform = OCI_PLATFORMS.get((system, architecture), Platform(architecture, system))
    members = image.members()
    position = platforms.choose_platform([member for _, member in members], platform)
    if position is None:
        available = ", ".join(platforms.format_platform(member) for _, member in members) or "no platform"
        raise FormatError(
            f"the image is for {available[:200]}, not {platforms.format_platform(platform)[:60]}",
            where=where,
            hint="nothing was stored; name another platform with the labels os and arch",
        )
    others = {label: value for label, value in request.required.items() if label not in _IN_NAME}
    actual = image.at(members[position][0]).config().config.labels if others else {}
    for label, value in others.items():
        if actual.get(label) != value:
            raise _label_error(label, actual.get(label, ""), value, where)


def _label_error(label: str, actual: str, requested: str, where: str) -> FormatError:
    hint = "its publisher serves another image at this place: nothing was stored"
    if (label, requested) == ("version", DEFAULT_VERSION):
        hint = "for the newest version, write the name without a version: nothing was stored"
    return FormatError(
        f"the image has the label {label}={actual[:60]!r}, not {requested[:60]!r}", where=where, hint=hint
    )
