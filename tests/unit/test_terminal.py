"""The filter for text from outside before it is printed."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice import terminal
from pumice.cli.display import streams
from pumice.errors import FetchError
from pumice.registry.server import proxy, responses
from pumice.registry.server.access_log import AccessLog, Line

EVIL = "\x1b[2J\x9b1m\u202e\x7f\nforged"


@given(st.text())
def test_unprintable_characters_are_escaped_without_changing_json(text: str) -> None:
    assert all(character.isprintable() or character in "\n\t" for character in terminal.printable(text))
    assert terminal.printable_line(text).isprintable()
    assert terminal.printable(terminal.printable(text)) == terminal.printable(text)
    for document in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        assert json.loads(terminal.printable_line(document)) == json.loads(document)


@given(st.text().filter(str.isprintable))
def test_printable_text_is_unchanged(text: str) -> None:
    assert terminal.printable(text) == terminal.printable_line(text) == text


def test_logs_are_printable_lines(caplog: pytest.LogCaptureFixture) -> None:
    log = terminal.get_logger("pumice.test")
    assert terminal.get_logger("pumice.test").filters == log.filters
    log.warning("said: %s", EVIL)
    try:
        int(EVIL + "\x00")  # its message quotes its input
    except ValueError as error:
        log.error("failed: %s", EVIL, exc_info=error)  # noqa: TRY400 - the test is of exc_info
    first, second, *trace = caplog.text.rstrip().split("\n")
    assert first.endswith("said: \\u001b[2J\\u009b1m\\u202e\\u007f\\u000aforged")
    assert "failed: \\u001b" in second
    assert all(line.isprintable() for line in trace)
    assert "ValueError: " in caplog.text


def test_messages_of_an_upstream_registry_are_logged_as_one_escaped_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    proxy._error_response(FetchError(EVIL, where=EVIL), responses.MANIFEST_UNKNOWN)
    (line,) = caplog.text.splitlines()
    assert line.isprintable()


def test_the_access_log_is_printable() -> None:
    file = io.BytesIO()
    log = AccessLog(file)
    for agent in (EVIL, "\x7f", "\u202e"):
        log.add(Line("t", "c", "GET", f"/{EVIL}", 200, 0, 1.0, user=EVIL, query=EVIL, agent=agent))
    log.close()
    lines = file.getvalue().decode().splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
    assert json.loads(lines[0])["agent"] == EVIL


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("terminal_", [False, True])
def test_documents_are_exact_in_a_pipe_and_escaped_on_a_terminal(
    terminal_: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    output_buffer = io.BytesIO()
    stream = (_Terminal if terminal_ else io.TextIOWrapper)(
        output_buffer, encoding="utf-8", write_through=True
    )
    monkeypatch.setattr(sys, "stdout", stream)
    data = EVIL.encode() + b"\xff\xc3"
    with streams.escape_output():
        sys.stdout.buffer.write(data[:9])
        sys.stdout.buffer.write(data[9:])
        print(EVIL, end="")
    assert sys.stdout is stream
    stream.flush()
    text = output_buffer.getvalue()
    safe = terminal.printable(EVIL).encode()
    assert text.endswith(safe)
    assert text.startswith(safe if terminal_ else data)


def test_counts() -> None:
    assert [terminal.format_count(number, "package") for number in (0, 1, 2)] == [
        "0 packages",
        "1 package",
        "2 packages",
    ]
    assert [terminal.format_count(number, "repository", "repositories") for number in (1, 2)] == [
        "1 repository",
        "2 repositories",
    ]
