"""What a build did, for people and programs to look up afterwards: ``pumice build --report``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from pumice.build.image import Finished
    from pumice.build.perform import Built
    from pumice.recipe.lock import Lock, LockedPackage
    from pumice.recipe.model import Recipe


def report(recipe: Recipe, lock: Lock, finished: Finished) -> bytes:
    """Return the report as JSON: what is in the image, layer by layer and package by package, and
    what the packages' own scripts would have done beyond (``scripts_not_run``).

    Equal builds give equal reports: it holds no time, path or machine.
    """
    document = {
        "name": recipe.name,
        "version": recipe.version,
        "digest": finished.root.digest,
        "format": lock.format,
        "platforms": {
            architecture: _platform(built, lock.packages[architecture])
            for architecture, built in sorted(finished.built.items())
        },
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _platform(built: Built, packages: tuple[LockedPackage, ...]) -> dict[str, Any]:
    return {
        "manifest": built.manifest.digest,
        "created": built.created,
        "size": sum(layer.size for _, layer in built.layers),
        "unpacked_size": sum(layer.tar_size for _, layer in built.layers),
        "layers": [
            {"holds": name, "digest": layer.digest, "diff_id": layer.diff_id, "size": layer.size}
            for name, layer in built.layers
        ],
        "packages": [
            {
                "name": package.name,
                "version": package.version,
                "role": package.role,
                "scripts_not_run": list(built.undone.get(package.name, ())),
            }
            for package in packages
        ],
        "ids": built.ids,
        "notes": list(built.notes),
    }
