from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import types
from itertools import groupby
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from pumice.cli import main as cli
from pumice.cli.commands import ALIASES, COMMANDS
from pumice.errors import FetchError, ImageError, Problem, RecipeError, UsageError
from pumice.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SOURCE = Path(cli.__file__).parent
NOT_VERBS = {"main", "complete"}
"""Modules with a function ``main`` that nobody calls as a command."""


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Sequence[str]], int]], None]:
    """Make ``pumice probe`` do what a test wants."""

    def install(function: Callable[[Sequence[str]], int]) -> None:
        module = types.ModuleType("pumice_probe")
        module.main = function  # type: ignore[attr-defined]  # a module gets any attribute
        monkeypatch.setitem(sys.modules, "pumice_probe", module)
        monkeypatch.setitem(COMMANDS, "probe", ("pumice_probe", "Probe", "Tests"))

    return install


def test_the_table_lists_exactly_the_verbs_that_exist() -> None:
    modules = [*SOURCE.glob("*.py"), *SOURCE.glob("*/__init__.py")]
    files = {
        module.parent.name if module.name == "__init__.py" else module.stem
        for module in modules
        if "\ndef main(" in module.read_text()
    }
    files -= NOT_VERBS
    assert files == {verb.replace("-", "_") for verb in COMMANDS}
    assert all(module == f"pumice.cli.{verb.replace('-', '_')}" for verb, (module, _, _) in COMMANDS.items())


def test_each_group_of_the_table_is_in_one_place() -> None:
    groups = [group for _, _, group in COMMANDS.values()]
    assert len(list(groupby(groups))) == len(set(groups))


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_verb(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 0
    text = capsys.readouterr().out
    for verb, (_, summary, group) in COMMANDS.items():
        brief = group == "More"
        assert re.search(
            rf"^  .*\b{verb}\b" if brief else rf"^  {verb} +{re.escape(summary)}$", text, re.MULTILINE
        )
    assert all(f"{alias} = {verb}" in text for alias, verb in ALIASES.items())
    assert all(len(line) <= 80 for line in text.splitlines())


def test_other_names_are_those_of_commands_and_no_commands() -> None:
    assert set(ALIASES.values()) <= set(COMMANDS)
    assert not set(ALIASES) & set(COMMANDS)


@pytest.mark.parametrize(("alias", "verb"), ALIASES.items())
def test_another_name_has_the_help_and_the_page_of_its_command(
    alias: str, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["help", alias]) == 0
    help_text = capsys.readouterr().out
    assert help_text.startswith(f"'{alias}' is another name of '{verb}'.\n\nusage: pumice {verb} ")
    assert cli.main([alias, "--help"]) == 0
    assert help_text.endswith(capsys.readouterr().out)
    page = Path(__file__).parents[3] / "docs" / "reference" / f"{verb}.md"
    assert f"`pumice {alias}` is another name of this command" in page.read_text()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"pumice {__version__}\n"


def test_help_of_a_verb_is_the_verbs_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["help", "completion"]) == 0
    assert capsys.readouterr().out.startswith("usage: pumice completion")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["buidl"], "error: unknown command 'buidl'\n  hint: did you mean 'build'?\n"),
        (["rmii"], "error: unknown command 'rmii'\n  hint: did you mean 'rmi'?\n"),
        (["help", "lokc"], "error: unknown command 'lokc'\n  hint: did you mean 'lock'?\n"),
        (["--versoin"], "error: unknown option '--versoin'\n  hint: did you mean '--version'?\n"),
        (
            ["\x1b[2Jx"],
            "error: unknown command '\\u001b[2Jx'\n  hint: list the commands with 'pumice --help'\n",
        ),
        (
            ["x" * 5000],
            f"error: unknown command '{'x' * 5000}'\n  hint: list the commands with 'pumice --help'\n",
        ),
    ],
)
def test_unknown_words_suggest_the_most_similar_one(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(argv) == UsageError.exit_code
    assert capsys.readouterr() == ("", said)


def test_an_error_is_a_sentence_with_place_and_hint(
    verb: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def probe(_: Sequence[str]) -> int:
        raise FetchError("the mirror does not answer", where="bookworm", hint="try --offline")

    verb(probe)
    assert cli.main(["probe"]) == FetchError.exit_code
    assert capsys.readouterr().err == "error: bookworm: the mirror does not answer\n  hint: try --offline\n"


def test_every_problem_of_a_recipe_is_reported(
    verb: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def probe(_: Sequence[str]) -> int:
        raise RecipeError(
            [Problem("first", where="r.yaml:1:1"), Problem("second", where="r.yaml:2:1", hint="h")]
        )

    verb(probe)
    assert cli.main(["probe"]) == RecipeError.exit_code
    assert capsys.readouterr().err == "error: r.yaml:1:1: first\nerror: r.yaml:2:1: second\n  hint: h\n"


def test_an_interrupt_is_one_line_and_130(
    verb: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def probe(_: Sequence[str]) -> int:
        raise KeyboardInterrupt

    verb(probe)
    assert cli.main(["probe"]) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


def test_the_machines_own_refusals_name_the_file(
    verb: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def probe(_: Sequence[str]) -> int:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), "/some/file")

    verb(probe)
    assert cli.main(["probe"]) == 1
    assert capsys.readouterr().err == "error: /some/file: permission denied\n"


def test_internal_error_asks_for_a_report_without_a_traceback(
    verb: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def probe(_: Sequence[str]) -> int:
        raise ValueError("a\nb")

    verb(probe)
    assert cli.main(["probe"]) == 70
    said = capsys.readouterr().err
    assert said.startswith("error: internal error (ValueError: a b)\n  hint: this is a bug in Pumice")
    assert said.count("\n") == 2
    monkeypatch.setenv("PUMICE_DEBUG", "1")
    assert cli.main(["probe"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_the_verb_gets_the_rest_of_the_line_and_its_code_is_the_exit_code(verb: Callable[..., None]) -> None:
    seen: list[Sequence[str]] = []

    def probe(arguments: Sequence[str]) -> int:
        seen.append(arguments)
        return 42

    verb(probe)
    assert cli.main(["probe", "--", "-x", "help"]) == 42
    assert seen == [["--", "-x", "help"]]


def test_colours_only_on_a_terminal_that_wants_them() -> None:
    from pumice.cli.display import output

    error = ImageError("clash", hint="look")
    assert "\x1b" not in output.format_error(error)
    assert (
        output.format_error(error, color=True)
        == "\x1b[1;31merror:\x1b[0m clash\n  \x1b[36mhint:\x1b[0m look\n"
    )


def written_to(stdout: IO[bytes], arguments: list[str], unbuffered: str) -> tuple[int, bytes]:
    """Return exit code and standard error of a command whose standard output cannot be written to."""
    done = subprocess.run(
        [sys.executable, "-m", "pumice", *arguments],
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["help", "completion"], ["completion", "--help"]])
def test_broken_pipe_prints_no_error(arguments: list[str], unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        assert written_to(gone, arguments, unbuffered) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["help", "completion"], ["completion", "--help"]])
def test_a_full_disk_behind_standard_output_is_one_sentence(arguments: list[str], unbuffered: str) -> None:
    with Path("/dev/full").open("wb") as full:
        assert written_to(full, arguments, unbuffered) == (1, b"error: no space left on device\n")


@pytest.mark.parametrize(
    ("arguments", "environment", "is_colored"),
    [
        ([], {}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color=never"], {"FORCE_COLOR": "1"}, False),
        (["--color", "auto"], {"FORCE_COLOR": "1"}, True),
    ],
)
def test_color_is_chosen_on_the_command_line_before_the_environment(
    arguments: list[str], environment: dict[str, str], is_colored: bool
) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_COLOR")}
    done = subprocess.run(
        [sys.executable, "-m", "pumice", "completion", *arguments, "fsh"],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert ("\x1b[" in done.stderr) is is_colored
