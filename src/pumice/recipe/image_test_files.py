"""Reads files of tests: our own format, that of container-structure-test, and recipes with tests."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path

import msgspec

from pumice.errors import Problem, RecipeError
from pumice.formats import yaml
from pumice.formats.yaml import Mapping, format_location
from pumice.os_errors import suggest_path
from pumice.recipe import structure_tests
from pumice.recipe.image_test_keys import TESTS
from pumice.recipe.image_tests import ImageTest
from pumice.recipe.kinds import Key, Table
from pumice.recipe.typed import BAD, RecipeReader


class _TestFile(msgspec.Struct, frozen=True):
    tests: tuple[ImageTest, ...]


_EXAMPLE = "[{command: [/usr/bin/app, --version]}]"
_FILE = Table(_TestFile, (Key("tests", TESTS, "The tests.", _EXAMPLE, True),))


def read_tests(path: str) -> tuple[ImageTest, ...]:
    """Return the tests in a file: a list under ``tests``, a recipe, or container-structure-test.

    Raises RecipeError with all problems.
    """
    document = yaml.read_document(_read_bytes(path), path)
    root, problems = document.root, list(document.problems)
    if not problems and not isinstance(root, Mapping):
        where = f"{path}:1:1" if root is None else format_location(root)
        hint = f"for example: tests: {_EXAMPLE}"
        problems = [Problem("a file of tests must be a mapping of keys to values", where=where, hint=hint)]
    if problems or not isinstance(root, Mapping):
        raise RecipeError(problems)
    names = {name.text for name, _ in root.items}
    if not names & {"tests", structure_tests.VERSION_KEY} or names & {"extend", "from"}:
        from pumice.recipe.load import load_recipe

        return load_recipe(path).tests
    is_structure_test = structure_tests.VERSION_KEY in names
    reader = RecipeReader(problems, {path: posixpath.dirname(path)}, main=path)
    result = reader.read_table(root, structure_tests.STRUCTURE_TESTS if is_structure_test else _FILE)
    if problems or result is BAD:
        raise RecipeError(problems)
    tests: tuple[ImageTest, ...] = (
        structure_tests.to_image_tests(result) if is_structure_test else result.tests
    )
    return tests


def _read_bytes(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(yaml.MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise RecipeError(
            [Problem(f"cannot read {path!r}: {reason.lower()}", hint=suggest_path(path))]
        ) from None
