"""The texts of help: short phrases, each option in the same words everywhere, and defaults named."""

from __future__ import annotations

from argparse import SUPPRESS, Action
from collections import defaultdict

import pytest

from tools.parser_tree import all_parsers

PARSERS = dict(all_parsers())

OPTIONS_THAT_DIFFER = frozenset(
    [
        "--all",
        "--allow-older",
        "--allow-unsigned",
        "--app",
        "--arch",
        "--as",
        "--audience",
        "--authfile",
        "--bundle",
        "--by-package",
        "--check",
        "--decryption-key",
        "--filter",
        "--force",
        "--format",
        "--grace-period",
        "--identity",
        "--ignore",
        "--issuer",
        "--json",
        "--key",
        "--label",
        "--listen",
        "--max-size",
        "--name",
        "--network",
        "--no-trunc",
        "--non-standard",
        "--output",
        "--overwrite",
        "--passphrase-file",
        "--platform",
        "--policy",
        "--port",
        "--quiet",
        "--read-only",
        "--replace",
        "--root",
        "--sign",
        "--since",
        "--strict",
        "--timeout",
        "--tracker",
        "--type",
        "--user",
        "--verbose",
        "--verify",
    ]
)
"""Options that do something else in another command, or to something else: their help says what."""

PROPER_NAMES = ("App Container", "OCI", "OpenPGP", "URL", "JSON")


def _options(command: str) -> list[Action]:
    actions = PARSERS[command]._actions
    return [action for action in actions if action.option_strings and action.help != SUPPRESS]


def _help(command: str, action: Action) -> str:
    return PARSERS[command]._get_formatter()._expand_help(action)


@pytest.mark.parametrize("command", PARSERS)
def test_the_help_of_an_option_is_a_phrase(command: str) -> None:
    for action in _options(command):
        text = _help(command, action)
        assert not text.endswith("."), f"{action.option_strings}: {text}"
        is_lower = text[:1] == text[:1].lower() or text.startswith(PROPER_NAMES)
        assert is_lower or text.split()[0].isupper(), f"{action.option_strings}: {text}"


@pytest.mark.parametrize("command", PARSERS)
def test_a_default_is_named(command: str) -> None:
    for action in PARSERS[command]._actions:
        has_default = action.default not in (None, False, [], (), "", SUPPRESS) and action.nargs != 0
        if has_default and action.help != SUPPRESS:
            assert "default" in _help(command, action), f"{action.option_strings or action.dest}"


def test_an_option_has_the_same_help_in_all_commands() -> None:
    texts: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for command in PARSERS:
        for action in _options(command):
            metavar = "" if action.nargs == 0 else str(action.metavar)
            texts[action.option_strings[-1]].add((metavar, _help(command, action)))
    assert {option for option, helps in texts.items() if len(helps) > 1} == OPTIONS_THAT_DIFFER
