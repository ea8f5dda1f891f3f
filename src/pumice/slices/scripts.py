"""Checks the scripts of slices without running them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import Problem, SliceError
from pumice.slices.starlark.budget import ScriptError
from pumice.slices.starlark.syntax import parse_script

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.slices.model import Release, Slice


def check_scripts(release: Release, slices: Iterable[Slice]) -> None:
    """Raise SliceError with the problems of scripts that are not valid Starlark."""
    problems: list[Problem] = []
    for item in slices:
        if not item.mutate:
            continue
        try:
            parse_script(item.mutate)
        except ScriptError as error:
            problems.append(script_problem(release, item, error))
    if problems:
        raise SliceError(problems)


def script_problem(release: Release, item: Slice, error: ScriptError) -> Problem:
    """Return the problem for an error of a slice's script, at its line in the definition."""
    file = release.packages[item.package].file
    line = item.mutate_line + error.line - 1 if error.line else item.mutate_line
    return Problem(f"the script of {item.full_name} failed: {error.message}", where=f"{file}:{line}:1")
