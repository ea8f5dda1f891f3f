"""Which recipe a command works on: the file that was named, or the one in a directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pumice import files

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.errors import PumiceError

DEFAULT_NAMES = ("pumice.yaml", "recipe.yaml")
"""The names of the recipe of a directory."""

_SUFFIXES = (".yaml", ".yml")
_MAX_LISTED = 5
_MIN_SIMILARITY = 0.8
"""How similar the names of two recipes are, without suffixes, if one is likely a misspelling of the other."""


def add_recipe_path(parser: argparse.ArgumentParser) -> None:
    """Add the optional ``RECIPE``; `find_recipe` returns its path."""
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        nargs="?",
        help="recipe file, or a directory with pumice.yaml or recipe.yaml (default: .)",
    )


class RecipeSelection(NamedTuple):
    """The recipes of a command. ``is_list`` tells whether several may be meant, even if there is one."""

    paths: list[Path]
    is_list: bool


def add_recipe_paths(parser: argparse.ArgumentParser) -> None:
    """Add any number of ``RECIPE`` as ``recipes``; `find_recipes` returns their paths."""
    parser.add_argument(
        "recipes",
        metavar="RECIPE",
        nargs="*",
        help="recipe file, a directory with pumice.yaml or recipe.yaml, or a pattern such as 'images/*' "
        "(default: .)",
    )


def find_recipes(texts: Sequence[str]) -> RecipeSelection:
    """Return the paths of the recipes that arguments name, each once, in their order.

    A pattern (``*``, ``?``, ``[…]``, and ``**`` for directories at any depth) stands for what it matches, in
    alphabetic order. Raises UsageError, and RecipeError as `find_recipe`.
    """
    if len(texts) <= 1 and not any(_is_pattern(text) for text in texts):
        return RecipeSelection([find_recipe(texts[0] if texts else None)], is_list=False)
    names = [name for text in texts for name in (_expand(text) if _is_pattern(text) else [text])]
    return RecipeSelection(list(dict.fromkeys(find_recipe(name) for name in names)), is_list=True)


def _is_pattern(text: str) -> bool:
    """Return whether an argument is a pattern; a file with such a name is that file."""
    return any(character in text for character in "*?[") and not os.path.lexists(text)


def _expand(pattern: str) -> list[str]:
    import glob

    names = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute patterns
    if not names:
        from pumice.errors import UsageError

        raise UsageError(f"no file or directory matches {pattern[:200]!r}")
    return names


def find_recipe(text: str | None) -> Path:
    """Return the path of a recipe: a file, or the only recipe with a default name in a directory.

    ``text`` may name a missing file if no other file is likely to be meant; reading it fails then.
    Raises UsageError, and RecipeError for a name that is not quite right.
    """
    if text == "":
        from pumice.errors import UsageError

        raise UsageError(
            "the name of the recipe is empty", hint="leave it out for the recipe of this directory"
        )
    path = Path(text or ".")
    if text and (text == "-" or "://" in text) and not os.path.lexists(path):
        from pumice.errors import UsageError

        raise UsageError(f"{text[:200]!r} is not a file", hint="write the recipe to a file, and name that")
    if files.is_directory(path):
        return _find_in_directory(path)
    if not os.path.lexists(path) and (similar_name := _find_similar_name(path)):
        from pumice.errors import Problem, RecipeError

        raise RecipeError(
            [Problem("no such recipe", where=str(path), hint=f"did you mean {path.with_name(similar_name)}?")]
        )
    return path


def _find_in_directory(directory: Path) -> Path:
    paths = [directory / name for name in DEFAULT_NAMES if os.path.lexists(directory / name)]
    if len(paths) == 1:
        return paths[0]
    raise _ambiguous(paths) if paths else _missing(directory)


def _ambiguous(paths: list[Path]) -> PumiceError:
    from pumice.errors import UsageError

    return UsageError(
        f"there are two recipes: {paths[0]} and {paths[1]}", hint=f"name one of them, such as {paths[0]}"
    )


def _missing(directory: Path) -> PumiceError:
    from pumice.errors import UsageError

    names = [name for name in _list_names(directory) if name.endswith(_SUFFIXES)]
    directory_name = "this directory" if str(directory) == "." else f"'{directory}'"
    if names and len(names) <= _MAX_LISTED:
        hint = f"name the recipe: {', '.join(str(directory / name) for name in names)}"
    else:
        hint = f"write one with 'pumice init{'' if str(directory) == '.' else f' {directory}'}', or name one"
    return UsageError(f"there is no pumice.yaml or recipe.yaml in {directory_name}", hint=hint)


def _find_similar_name(path: Path) -> str:
    """Return the name of the YAML file that is meant by the missing ``path``, empty if none is likely."""
    names = [name for name in _list_names(path.parent) if name.endswith(_SUFFIXES)]
    for suffix in _SUFFIXES:
        if f"{path.stem}{suffix}" in names:
            return path.stem + suffix
    if not names:
        return ""
    from difflib import get_close_matches

    # Stems only: the suffix that all names share would make every short name similar.
    stems = {Path(name).stem: name for name in names}
    close_stems = get_close_matches(path.stem[:80], stems, n=1, cutoff=_MIN_SIMILARITY)
    return stems[close_stems[0]] if close_stems else ""


def _list_names(directory: Path) -> list[str]:
    try:
        return sorted(path.name for path in directory.iterdir())
    except OSError:
        return []
