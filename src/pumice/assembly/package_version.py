"""The version of an image that is the version of a locked package (``version: {package: NAME}``)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import Problem, RecipeError
from pumice.formats import image_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.recipe.lock import LockedPackage
    from pumice.recipe.model import PackageVersion, Recipe

_RELEASE = re.compile(r"([0-9]+(?:\.[0-9]+)*)(\+.*)?")


def resolve_version(
    recipe: Recipe, packages: Mapping[str, Sequence[LockedPackage]], architectures: Sequence[str]
) -> Recipe:
    """Return ``recipe`` with the version and the tags of the package that it names, if it names one.

    ``packages`` are those of the lock, by architecture. Raises RecipeError if the package is missing, if
    its version is not a tag, and if the architectures have different versions.
    """
    source = recipe.version_from
    if source is None:
        return recipe
    versions = {name: _find_version(source, packages[name]) for name in architectures}
    (first_name, version), *others = versions.items()
    for name, other_version in others:
        if other_version != version:
            message = f"{source.package} is {version} on {first_name}, but {other_version} on {name}"
            hint = f"lock the same version for both: pumice lock --upgrade={source.package} {recipe.path}"
            raise RecipeError([Problem(message, where=source.where, hint=hint)])
    tag = version.replace("+", "-").replace("~", "-")
    if not image_names.is_tag(tag):
        message = f"the version {version} of {source.package} is not a tag"
        raise RecipeError([Problem(message, where=source.where, hint="write the version of the image")])
    return msgspec.structs.replace(recipe, version=tag, version_from=None, tags=derive_tags(version))


def derive_tags(version: str) -> tuple[str, ...]:
    """Return the tags for the release series of an upstream version: ``15`` for ``15.14``.

    Build metadata (``17.0.16+8``) does not count; other versions, such as ``16~rc1`` and ``9.2p1``, may be
    before the release that they look like, so they have none.
    """
    match = _RELEASE.fullmatch(version)
    if not match:
        return ()
    numbers = match[1].split(".")
    last = len(numbers) + 1 if match[2] else len(numbers)
    return tuple(".".join(numbers[:count]) for count in range(1, last))


def _find_version(source: PackageVersion, packages: Sequence[LockedPackage]) -> str:
    from pumice.distro.versions import upstream_version

    for package in packages:
        if package.name == source.package:
            return upstream_version(package.version)
    from pumice.resolve.missing_packages import find_similar_name

    similar_name = find_similar_name(source.package, [package.name for package in packages])
    hint = f"did you mean {similar_name!r}?" if similar_name else f"add {source.package} under 'packages'"
    message = f"cannot take the version from {source.package}: the image has no such package"
    raise RecipeError([Problem(message, where=source.where, hint=hint)])
