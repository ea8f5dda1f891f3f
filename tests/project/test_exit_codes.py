"""Exit codes: the page, the table in `pumice.errors`, and the classes of errors say the same."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import pumice
from pumice.cli import main
from pumice.errors import EXIT_CODES, PumiceError
from pumice.runtime.launch.errors import NotRunnableError
from tests.support.docs import ROOT

OPTIONAL = {"pumice.__main__"}
"""Modules that run the program when they are imported."""


def subclasses(parent: type[PumiceError]) -> Iterator[type[PumiceError]]:
    for child in parent.__subclasses__():
        yield child
        yield from subclasses(child)


def test_the_page_has_the_table() -> None:
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", page, re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


def test_every_error_has_a_code_of_the_table() -> None:
    for module in pkgutil.walk_packages(pumice.__path__, "pumice."):
        if module.name not in OPTIONAL:
            importlib.import_module(module.name)
    own_modules = [error for error in subclasses(PumiceError) if error.__module__.startswith("pumice.")]
    assert len(own_modules) > 15
    wrong = [error for error in own_modules if error.exit_code not in EXIT_CODES]
    assert wrong == []
    own_codes = {error.exit_code for error in own_modules} | {PumiceError.exit_code}
    assert own_codes == set(EXIT_CODES) - {
        0,
        main.INTERNAL_ERROR,
        main.INTERRUPTED,
    }


def test_a_program_that_cannot_be_run_has_the_codes_of_a_shell() -> None:
    assert NotRunnableError("x", 127, "not found").exit_code == 127
