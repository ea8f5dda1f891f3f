"""The image of one platform: found by a single look-up where nothing changed, assembled otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.cache import Cache
from pumice.assembly.platform_model import PlatformImage

if TYPE_CHECKING:
    from pumice.assembly.context import BuildContext
    from pumice.assembly.platform_model import PlatformInputs
    from pumice.digest import Digest

_INDIFFERENT = ("path", "args", "packages", "origin", "archs", "files", "checks", "tags", "tests", "slices")
"""Fields of a recipe that decide no byte of an image beyond what the lock and the files' digest say."""


def _blobs(image: PlatformImage) -> list[Digest]:
    return [
        image.manifest.digest,
        image.config.digest,
        image.facts,
        *(layer.digest for _, layer in image.layers),
    ]


_CACHE = Cache("image", PlatformImage, _blobs)


def platform_key(inputs: PlatformInputs, source_date_epoch: int | None) -> Digest:
    """Return the cache key of the image for ``inputs``.

    Where files are on this machine, and how packages were resolved, has no part in it.
    """
    # A suite is only where a package was found: the same package may move to another one.
    packages = [msgspec.structs.replace(package, suite="") for package in inputs.packages]
    recipe = {
        name: value for name, value in msgspec.to_builtins(inputs.recipe).items() if name not in _INDIFFERENT
    }
    for rule in (item for key in ("generate", "permissions", "exclude") for item in recipe.get(key, ())):
        rule.pop("where", None)
    return _CACHE.key(
        *(inputs.format, recipe, inputs.recipe.origin.debian, packages),
        *(inputs.architecture, inputs.ids, inputs.files.digest, source_date_epoch),
        *(inputs.omittable, inputs.without, inputs.slices),
    )


def build_platform(inputs: PlatformInputs, context: BuildContext) -> PlatformImage:
    """Return the image for ``inputs``, from the cache or assembled now; raises PumiceError."""
    key = platform_key(inputs, context.source_date_epoch)
    cached_image = _CACHE.get(context.home, key)
    if cached_image and not (context.rounds > 1 and inputs.recipe.generate):
        return cached_image
    from pumice.assembly.image_checks import record_findings
    from pumice.assembly.pipeline import assemble_platform

    image = assemble_platform(inputs, context)
    record_findings(image.manifest.digest, image.findings, context.home)
    # The lock with the ids that were allocated gives the same image, so store it under both keys.
    complete_inputs = msgspec.structs.replace(inputs, ids=image.ids)
    for image_key in {key, platform_key(complete_inputs, context.source_date_epoch)}:
        _CACHE.put(context.home, image_key, image)
    return image
