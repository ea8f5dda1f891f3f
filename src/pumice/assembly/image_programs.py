"""Running programs of an image while it is built: which images this machine can run, and on what."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.assembly.manifests import write_manifest
from pumice.errors import ImageError
from pumice.formats import platforms
from pumice.image.model import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.assembly.platform_model import PlatformInputs
    from pumice.formats.oci import Platform
    from pumice.packing.compose import ComposedLayer
    from pumice.store.blobs import Blobs


def check_platform(platform: Platform, purpose: str, program: str, key: str) -> None:
    """Raise ImageError unless this machine can run programs of an image for ``platform``.

    ``purpose`` completes "cannot ...", ``program`` names what must run, ``key`` is the recipe's key.
    """
    machine = platforms.from_machine(os.uname().machine)
    if not platforms.matches(platform, machine):
        raise ImageError(
            f"cannot {purpose} for {platforms.format_platform(platform)} on "
            f"{platforms.format_platform(machine)}: {program} must run",
            hint=f"build on a machine of that architecture, or remove {key} for it",
        )


def write_image(inputs: PlatformInputs, layers: Sequence[ComposedLayer], blobs: Blobs) -> Image:
    """Write the image of ``layers`` as programs find it, with a config that nobody else sees."""
    manifest, _ = write_manifest(inputs.recipe, inputs.architecture, layers, created=0, user="", blobs=blobs)
    return Image(manifest, blobs)
