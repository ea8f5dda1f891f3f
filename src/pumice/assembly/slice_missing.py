"""The packages of a lock that an image takes whole, and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.recipe_slices import load_recipe_release

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pumice.recipe.lock import Lock
    from pumice.recipe.model import Recipe
    from pumice.slices.model import Release
    from pumice.store.home import Home


class WholePackage(msgspec.Struct, frozen=True, kw_only=True):
    """A package that an image takes whole.

    ``size`` is that of the package file in bytes, ``files_size`` that of its files in the image. ``named``:
    the recipe names it. ``slices`` are those that the release has of it.
    """

    package: str
    version: str
    architecture: str
    size: int
    files_size: int
    named: bool
    slices: tuple[str, ...]


def find_whole_packages(
    recipe: Recipe,
    lock: Lock,
    omitted: Mapping[str, Collection[str]],
    file_sizes: Mapping[tuple[str, str], int],
    home: Home,
) -> list[WholePackage]:
    """Return the packages of a lock that are in the image whole, the largest first.

    ``omitted`` are those that the image leaves out, and ``file_sizes`` the bytes of files, by architecture.
    """
    release = load_recipe_release(recipe, home)
    named = {request.name for request in recipe.packages if request.name and not request.exclude}
    whole_packages = [
        WholePackage(
            package=package.name,
            version=package.version,
            architecture=architecture,
            size=package.size,
            files_size=file_sizes.get((architecture, package.name), 0),
            named=package.name in named,
            slices=_list_slices(release, package.name),
        )
        for architecture, packages in lock.packages.items()
        for package in packages
        if package.role in ("package", "local") and package.name not in omitted.get(architecture, ())
    ]
    return sorted(
        whole_packages, key=lambda item: (item.architecture, -item.files_size, -item.size, item.package)
    )


def _list_slices(release: Release, package: str) -> tuple[str, ...]:
    definition = release.packages.get(package)
    return tuple(sorted(definition.slices)) if definition else ()
