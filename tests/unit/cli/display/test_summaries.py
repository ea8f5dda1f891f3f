"""The summary at the end of a command, for people and for programs."""

from __future__ import annotations

import io
import json

import pytest

from pumice.cli.display import progress_modes
from pumice.cli.display.summaries import Row, Summary, format_seconds, format_summary

SUMMARY = Summary(
    "built",
    "built a:1",
    (
        Row("size", "1 MB"),
        Row("scripts", "skipped actions of 2 packages: chown (2), vendor-setup (1)", "warning"),
        Row("next", "pumice run a:1", "command"),
    ),
    ("layers",),
    {"name": "a\x1b", "layers": 3},
)
TEXT = """built a:1
  size     1 MB
  scripts  skipped actions of 2 packages: chown (2), vendor-setup (1)
  next     pumice run a:1
layers"""
WRAPPED = """built a:1
  size     1 MB
  scripts  skipped actions of 2
           packages: chown (2),
           vendor-setup (1)
  next     pumice run a:1
layers"""


def test_rows_are_aligned_and_wrap_at_words() -> None:
    assert format_summary(SUMMARY) == TEXT
    assert format_summary(SUMMARY, width=34) == WRAPPED


def test_color_has_a_meaning_and_changes_no_text() -> None:
    colored = format_summary(SUMMARY, width=34, color=True)
    assert "\x1b[33mskipped actions of 2\x1b[0m\n" in colored
    assert "\x1b[36mpumice run a:1\x1b[0m" in colored
    for code in ("1", "2", "33", "36", "0"):
        colored = colored.replace(f"\x1b[{code}m", "")
    assert "\n".join(line.rstrip() for line in colored.splitlines()) == WRAPPED


def test_text_from_outside_cannot_control_the_terminal() -> None:
    assert "\x1b" not in format_summary(Summary("x", "a\x1b[2J", (Row("b\x1b", "c\x1b"),), ("d\x1b",)))


@pytest.mark.parametrize("mode", ["none", "plain", "json", "auto"])
def test_the_display_decides_the_form(mode: str) -> None:
    stream = io.StringIO()
    progress_modes.make_progress(mode, stream).finish(SUMMARY)
    text = stream.getvalue()
    if mode == "json":
        assert json.loads(text) == {"event": "built", "name": "a\x1b", "layers": 3}
        assert "\x1b" not in text
    else:
        assert text == ("" if mode == "none" else f"{TEXT}\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (125, "2 min 5 s"), (59.6, "1 min 0 s")],
)
def test_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
