"""Loads a recipe file as one value, and reports all its problems at once, each with its location."""

from __future__ import annotations

import os

import msgspec

from pumice.errors import Problem, RecipeError
from pumice.formats.yaml import Mapping, Node, Sequence, format_location
from pumice.recipe.arguments import ArgumentUses, check_value
from pumice.recipe.extend import RecipeLoader
from pumice.recipe.keys import RECIPE
from pumice.recipe.model import Recipe
from pumice.recipe.typed import BAD, RecipeReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping as Map
    from pathlib import Path

_MAX_PROBLEMS = 50


class EffectiveRecipe(msgspec.Struct, frozen=True):
    """A recipe, and the merged tree that it was read from, whose nodes have locations."""

    recipe: Recipe
    root: Mapping
    argument_uses: ArgumentUses = ArgumentUses()


def load_recipe(path: Path | str, arguments: Map[str, str] | None = None) -> Recipe:
    """Return the effective recipe of a file; raises as `load_effective` does."""
    return load_effective(path, arguments).recipe


def load_effective(
    path: Path | str, arguments: Map[str, str] | None = None, *, text: bytes | None = None
) -> EffectiveRecipe:
    """Return the effective recipe of a file and its tree, with the values of its arguments.

    ``text`` is used instead of the content of the file, which then need not exist. Raises RecipeError with
    all problems, UsageError for an argument that the recipe does not declare.
    """
    arguments = arguments or {}
    for name, value in arguments.items():
        check_value(name, value)
    files = RecipeLoader(os.fspath(path), text)
    root = files.merged_tree(arguments)
    recipe = None
    if root is not None:
        recipe = RecipeReader(files.problems, files.folders(), main=os.fspath(path)).read_table(root, RECIPE)
    if files.problems or recipe is None or recipe is BAD or root is None:
        raise RecipeError(_sort_problems(files.problems, list(files.folders())))
    recipe = msgspec.structs.replace(_split_slices(recipe), path=os.fspath(path))
    return EffectiveRecipe(recipe, root, files.argument_uses)


def _split_slices(recipe: Recipe) -> Recipe:
    """Return a recipe whose slices are not among its packages."""
    slices = [f"{request.name}_{request.slice}" for request in recipe.packages if request.slice]
    if not slices:
        return recipe
    packages = tuple(request for request in recipe.packages if not request.slice)
    return msgspec.structs.replace(recipe, packages=packages, selected_slices=tuple(sorted(slices)))


def locate_key(root: Mapping, key: str) -> str:
    """Return the ``file:line:col`` of a key such as ``run.command``, or of the nearest node above it.

    In a list, a part of the key is the number of an item, from 0.
    """
    node: Node = root
    for name in key.split("."):
        if isinstance(node, Sequence) and name.isdigit() and int(name) < len(node.items):
            node = node.items[int(name)]
            continue
        if not isinstance(node, Mapping):
            break
        below = next((value for item, value in node.items if item.text == name), None)
        if below is None:
            break
        node = below
    return format_location(node)


def _sort_problems(problems: list[Problem], files: list[str]) -> list[Problem]:
    """Return the problems by file and location, each once, at most `_MAX_PROBLEMS` of them."""
    order = {name: number for number, name in enumerate(files)}

    def key(problem: Problem) -> tuple[int, int, int]:
        name, _, tail = (problem.where or "").rpartition(":")
        name, _, line = name.rpartition(":")
        if name in order and line.isdigit() and tail.isdigit():
            return order[name], int(line), int(tail)
        return -1, 0, 0

    unique = list({(problem.where, problem.message): problem for problem in problems}.values())
    unique.sort(key=key)
    if len(unique) > _MAX_PROBLEMS:
        remaining = len(unique) - _MAX_PROBLEMS
        unique[_MAX_PROBLEMS:] = [Problem(f"{remaining} more problems", hint="fix these first")]
    return unique
