"""Every command and option of Pumice that a page names exists, also where the page is not run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.cli.commands import ALIASES, COMMANDS
from tests.support.docs import ROOT
from tools import reference
from tools.parser_tree import all_parsers

PARSERS = dict(all_parsers())
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
_BLOCK = re.compile(r"^```(?:sh|console|text|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(pumice [^`\n]+)`")
_COMMAND = re.compile(r"(?:^|[$&|;(] ?)(pumice [a-z].*)")
_WITHOUT_PARSER = {"help", "--help", "--version", "__complete"}
_EXAMPLES_OF_COMPLETION = {"pumice tr"}
_OPERATORS = {"|", "&&", "||", ";", "&", "|&"}


def named_commands(text: str) -> Iterator[str]:
    """Yield each command line of a page, of its blocks and in its sentences, except for the help."""
    text = reference.BLOCK.sub("", text)
    for block in _BLOCK.finditer(text):
        for line in re.sub(r"\\\n\s*", " ", block[1]).splitlines():
            yield from _COMMAND.findall(line)
    yield from _INLINE.findall(re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def split(command: str) -> list[str]:
    """Return the words of a command line, up to the first operator or comment of the shell."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    try:
        for word in lexer:
            if word in _OPERATORS:
                break
            words.append(word)
    except ValueError:  # a part of a command line that the page breaks
        pass
    return words


def find_unknown(command: str) -> list[str]:
    """Return the options of a command line that the command does not have, or the unknown command."""
    _, verb, *words = split(command)
    verb = ALIASES.get(verb, verb)
    if verb in _WITHOUT_PARSER or command in _EXAMPLES_OF_COMPLETION:
        return []
    if verb not in COMMANDS:
        return [verb]
    if words and f"{verb} {words[0]}" in PARSERS:
        verb = f"{verb} {words.pop(0)}"
    options = {option: action for action in PARSERS[verb]._actions for option in action.option_strings}
    passes_words_on = any(action.nargs == "..." for action in PARSERS[verb]._actions)
    unknown = []
    takes_value = False
    for word in words:
        name = word.partition("=")[0].strip("[],…")
        if takes_value:
            takes_value = False
        elif not word.startswith("-") or not word.strip("-"):
            if passes_words_on:
                break
        elif word in options or name in options:
            action = options.get(word) or options[name]
            takes_value = "=" not in word and action.nargs is None and word in options
        elif word.startswith("--") or f"-{word[1]}" not in options:
            unknown.append(word)
    return unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_exist(page: Path) -> None:
    commands = list(named_commands(page.read_text()))
    assert {command: unknown for command in commands if (unknown := find_unknown(command))} == {}


def test_pages_install_pumice_from_where_the_readme_does() -> None:
    """Before its first release, a package index has no Pumice, or that of somebody else."""
    named = {str(page.relative_to(ROOT)) for page in PAGES if "pip install 'pumice" in page.read_text()}
    assert named <= {"docs/how-to/github-and-gitlab.md"}  # an example of a job, which names a release
