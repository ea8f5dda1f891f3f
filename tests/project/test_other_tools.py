"""What the documentation and the hints tell users of other tools to type exists."""

from __future__ import annotations

import re

import pytest

from pumice.cli.commands import ALIASES, COMMANDS
from pumice.cli.parsing import foreign
from tests.support.docs import ROOT
from tools.parser_tree import all_parsers

PAGE = ROOT / "docs" / "reference" / "other-tools.md"
PARSERS = dict(all_parsers())
_OPTION = re.compile(r"--?[A-Za-z][a-z-]*")


def named_commands() -> set[str]:
    """Return every ``pumice …`` that the page and the hints name."""
    commands = set(re.findall(r"`(pumice [^`]+)`", PAGE.read_text()))
    hints = [
        *foreign.COMMANDS.values(),
        *(hint for table in foreign.OPTIONS.values() for hint in table.values()),
    ]
    return commands | {command for hint in hints for command in re.findall(r"'(pumice [^']+)'", hint)}


@pytest.mark.parametrize("command", sorted(named_commands()))
def test_the_command_and_its_options_exist(command: str) -> None:
    _, verb, *words = command.split()
    if verb == "--help":
        return
    verb = ALIASES.get(verb, verb)
    assert verb in COMMANDS
    name = f"{verb} {words[0]}" if words and f"{verb} {words[0]}" in PARSERS else verb
    known = {option for action in PARSERS[name]._actions for option in action.option_strings}
    options = [option for word in words if word.strip("-") for option in _split_options(word)]
    assert [word for word in options if word not in known and word.partition("=")[0] not in known] == []


def _split_options(word: str) -> list[str]:
    """Return the options in a word, of which there are several in ``-it``."""
    if word.startswith("-") and not word.startswith("--"):
        return [f"-{letter}" for letter in word[1:]]
    return [word] if word.startswith("--") else []


@pytest.mark.parametrize("command", [command for command in foreign.OPTIONS if command])
def test_an_option_of_another_tool_is_none_of_the_command(command: str) -> None:
    known = {option for action in PARSERS[command]._actions for option in action.option_strings}
    assert set(foreign.OPTIONS[command]) & known == set()


def test_options_in_hints_exist_somewhere() -> None:
    known = {
        option
        for parser in PARSERS.values()
        for action in parser._actions
        for option in action.option_strings
    }
    hints = [hint for table in foreign.OPTIONS.values() for hint in table.values()]
    named = {option for hint in hints for option in _OPTION.findall(hint) if option.startswith("--")}
    assert {option for option in named if option not in known and f"{option}=false" not in known} == set()


def test_every_row_of_the_page_has_three_cells_and_an_answer() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "---" not in line]
    cells = [[cell.strip() for cell in row.strip("|").replace("\\|", "").split("|")] for row in rows]
    assert [row for row in cells if len(row) != 3] == []
    assert [row for row in cells if not (row[1] or row[2])] == []
    assert len(cells) > 80


def _foreign_commands() -> list[str]:
    """Return the commands of other tools that the page compares, without the name of the tool."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    first_cells = [row.split(" | ")[0] for row in rows]
    commands = [command for cell in first_cells for command in re.findall(r"`([^`]+)`", cell)]
    return sorted({command.partition(" ")[2] for command in commands if re.match(r"[a-z]+ [a-z]", command)})


@pytest.mark.parametrize("command", _foreign_commands())
def test_a_command_of_another_tool_exists_or_has_a_hint(command: str) -> None:
    """The page says that the error for such a command has the same answer."""
    words = [word for word in command.split() if not word.startswith("-")]
    is_command = words[0] in COMMANDS or words[0] in ALIASES
    assert is_command or foreign.command_hint(words), command


def test_no_hint_is_for_a_command_that_exists() -> None:
    assert [name for name in foreign.COMMANDS if name in COMMANDS or name in ALIASES] == []
