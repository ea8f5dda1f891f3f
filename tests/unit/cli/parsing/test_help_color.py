"""Help in color: the same text, with headings and names that stand out."""

from __future__ import annotations

import re

import pytest

from pumice.cli.commands import COMMANDS
from pumice.cli.main import main
from tools.parser_tree import all_parsers

PARSERS = dict(all_parsers())
_STYLE = re.compile("\x1b\\[[0-9]+m")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.setenv(name, "")  # so that what a command sets is undone
        monkeypatch.delenv(name)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", PARSERS)
def test_color_changes_no_character(command: str) -> None:
    text = PARSERS[command].format_help_for(80, color=True)
    assert _STYLE.sub("", text) == PARSERS[command].format_help_for(80)
    assert "\x1b[1musage:\x1b[0m pumice" in text
    assert "\x1b[1moptions:\x1b[0m\n" in text
    assert "  \x1b[36m-h\x1b[0m, \x1b[36m--help\x1b[0m  " in text


@pytest.mark.parametrize("command", PARSERS)
def test_every_option_and_operand_is_colored(command: str) -> None:
    text = PARSERS[command].format_help_for(80, color=True).split("examples:")[0]
    assert re.findall(r"^  -.*", text, re.MULTILINE) == []
    assert (
        re.search(r"^  [a-zA-Z]", text.split("options:")[0].partition("arguments:")[2], re.MULTILINE) is None
    )


def test_help_has_color_only_on_a_terminal_or_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b" not in printed(capsys, "build", "--help")
    assert "\x1b" not in printed(capsys, "--help")
    assert "\x1b[36m--help" in printed(capsys, "build", "--color", "always", "--help")
    monkeypatch.delenv("FORCE_COLOR")
    assert "\x1b[36m--help" in printed(capsys, "trust", "add", "--help", "--color=always")
    assert "  \x1b[36mbuild\x1b[0m  " in printed(capsys, "--help")  # FORCE_COLOR is still set
    assert "\x1b" not in printed(capsys, "build", "--help", "--color", "never")


def test_the_overview_colors_each_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = printed(capsys, "--help")
    monkeypatch.setenv("FORCE_COLOR", "1")
    colored = printed(capsys, "--help")
    assert _STYLE.sub("", colored) == plain
    listed = [verb for verb in COMMANDS if f"\n  {verb} " in plain]
    assert [verb for verb in listed if f"\n  \x1b[36m{verb}\x1b[0m " not in colored] == []
