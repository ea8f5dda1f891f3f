"""The labels that an image is discovered by: those of the request, and the platform of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.appc.app_strings import parse_image_reference
from pumice.errors import FormatError, UsageError
from pumice.image.aci_platforms import find_architecture

if TYPE_CHECKING:
    from pumice.appc.image_manifest import ImageManifest
    from pumice.formats.oci import Platform


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
    return {"os": platform.os, "arch": find_architecture(platform)}


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
            raise FormatError(
                f"the image has the label {label}={actual.get(label, '')[:60]!r}, not {value[:60]!r}",
                where=where,
                hint="its publisher serves another image at this place: nothing was stored",
            )
