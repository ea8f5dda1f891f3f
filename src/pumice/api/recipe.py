"""A recipe for the Python API."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.recipe import model

if TYPE_CHECKING:
    from collections.abc import Mapping

    StrPath = str | os.PathLike[str]


class Recipe(msgspec.Struct, frozen=True):
    """A recipe that is merged with all that it extends, and valid."""

    path: Path
    """The recipe file; the lock is beside it, and its paths are relative to its directory."""
    name: str
    version: str
    """Empty if it is the version of a package, which only the lock knows."""
    args: dict[str, str]
    """The values of its arguments."""
    effective: model.Recipe
    """Private."""
    text: str | None = None
    """Private."""

    @classmethod
    def load(cls, path: StrPath, *, args: Mapping[str, str] | None = None) -> Recipe:
        """Return the recipe in a file, with values for its arguments; raises RecipeError, UsageError."""
        return cls._load(path, args, None)

    @classmethod
    def parse(cls, text: str, *, path: StrPath, args: Mapping[str, str] | None = None) -> Recipe:
        """Return the recipe in ``text``, as if it were in the file ``path``, which need not exist."""
        return cls._load(path, args, text)

    @classmethod
    def _load(cls, path: StrPath, args: Mapping[str, str] | None, text: str | None) -> Recipe:
        from pumice.recipe.load import load_effective

        data = None if text is None else text.encode("utf-8", "surrogateescape")
        recipe = load_effective(os.fspath(path), args, text=data).recipe
        version = "" if recipe.version_from else recipe.version
        return cls(Path(path), recipe.name, version, recipe.args, recipe, text)


def load(recipe: Recipe | StrPath) -> Recipe:
    """Return a recipe, which may have been loaded already."""
    return recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
