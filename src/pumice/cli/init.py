"""``pumice init``: a commented starter recipe."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice import ownership
from pumice.cli.arguments import parser
from pumice.errors import PumiceError, UsageError
from pumice.recipe.starter import starter_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Write the recipe where it is asked for; print its path."""
    made = parser(
        "init",
        "Write a commented starter recipe that builds as it stands. Nothing is overwritten.",
        progress=False,
    )
    made.add_argument(
        "path",
        nargs="?",
        default=".",
        metavar="DIR|FILE",
        help="a folder, made if need be, for its recipe.yaml, or a file ending in .yaml (default: here)",
    )
    given = Path(made.parse_args(arguments).path)
    file = given if given.suffix in (".yaml", ".yml") and not given.is_dir() else given / "recipe.yaml"
    text = starter_recipe(file.parent.resolve().name, file.name)
    try:
        ownership.make_directories(file.parent)
        with file.open("x", encoding="utf-8", newline="\n") as out:
            out.write(text)
    except FileExistsError:
        raise UsageError("there is a file already", where=str(file), hint="choose another name") from None
    except NotADirectoryError as error:
        raise UsageError("a file is in the way of the folder", where=str(error.filename)) from None
    except OSError as error:
        why = (error.strerror or "unknown").lower()
        raise PumiceError(f"the recipe cannot be written ({why})", where=str(file)) from None
    sys.stdout.buffer.write(os.fsencode(file) + b"\n")
    return 0
