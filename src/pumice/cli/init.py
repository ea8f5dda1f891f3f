"""``pumice init``: write a commented starter recipe."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice import ownership
from pumice.cli.parsing import arguments as command_line
from pumice.errors import PumiceError, UsageError
from pumice.recipe.starter import starter_recipe

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_NOT_RECIPES = frozenset({".json", ".toml", ".txt", ".xml", ".tar", ".lock"})
"""Suffixes of files that are not recipes; a directory may have others, such as app-1.0."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice init``."""
    parser = command_line.make_parser(
        "init",
        "Write a commented starter recipe that builds as it is. Existing files are not overwritten.",
        progress=False,
        examples=(
            "pumice init",
            "pumice init hello",
        ),
    )
    parser.add_argument(
        "path",
        nargs="?",
        default=".",
        metavar="DIR|FILE",
        help="a directory for recipe.yaml, created if missing, or a file name ending in .yaml (default: .)",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Write the recipe and print its path."""
    path = Path(parser().parse_args(arguments).path)
    if path.suffix in _NOT_RECIPES and not path.is_dir():
        raise UsageError(
            f"a recipe cannot have the suffix {path.suffix}",
            where=str(path),
            hint=f"pass a directory, or a file name such as {path.stem}.yaml",
        )
    file = path if path.suffix in (".yaml", ".yml") and not path.is_dir() else path / "recipe.yaml"
    text = starter_recipe(file.parent.resolve().name, file.name)
    try:
        ownership.make_directories(file.parent)
        with file.open("x", encoding="utf-8", newline="\n") as out:
            out.write(text)
    except FileExistsError:
        raise UsageError("the file exists already", where=str(file), hint="choose another name") from None
    except NotADirectoryError as error:
        raise UsageError("not a directory", where=str(error.filename), hint="choose another name") from None
    except OSError as error:
        why = (error.strerror or "unknown").lower()
        raise PumiceError(
            f"cannot write the recipe: {why}", where=str(file), hint="name another: pumice init DIR|FILE"
        ) from None
    sys.stdout.buffer.write(os.fsencode(file) + b"\n")
    return 0
