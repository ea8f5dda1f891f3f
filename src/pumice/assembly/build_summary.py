"""What a build made, in counts and sizes, for the lines at the end of ``pumice build``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.formats import platforms

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pumice.assembly.image import BuiltImage
    from pumice.assembly.platform_model import PlatformImage
    from pumice.digest import Digest
    from pumice.recipe.lock import Lock, LockedPackage


class PlatformSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The image of one platform; sizes are in bytes."""

    platform: str
    digest: str
    size: int
    unpacked_size: int
    packages: int
    """The packages of the image, including those that provide base data only."""
    base_data_packages: int
    omitted_packages: int
    """Packages of the lock that are left out, which ``packages`` does not count."""
    layers: int
    new_layers: int
    """Layers that the store did not have before."""


def summarize_platforms(
    image: BuiltImage, lock: Lock, added_blobs: Collection[Digest]
) -> tuple[PlatformSummary, ...]:
    """Return the summary of each platform; ``added_blobs`` are those that this build added to the store."""
    return tuple(
        _summarize(architecture, platform_image, lock.packages[architecture], added_blobs)
        for architecture, platform_image in image.platforms.items()
    )


def _summarize(
    architecture: str,
    image: PlatformImage,
    packages: Sequence[LockedPackage],
    added_blobs: Collection[Digest],
) -> PlatformSummary:
    packages = [package for package in packages if package.name not in image.omission.names]
    layers = [layer for _, layer in image.layers]
    return PlatformSummary(
        platform=platforms.format_platform(platforms.from_debian(architecture)),
        digest=image.manifest.digest,
        size=sum(layer.size for layer in layers),
        unpacked_size=sum(layer.tar_size for layer in layers),
        packages=len(packages),
        base_data_packages=count_base_data(packages),
        omitted_packages=len(image.omission.omitted),
        layers=len(layers),
        new_layers=sum(layer.digest in added_blobs for layer in layers),
    )


def count_base_data(packages: Sequence[LockedPackage]) -> int:
    """Return how many of ``packages`` are not installed, and provide base data only."""
    return sum(package.role == "base-data" for package in packages)
