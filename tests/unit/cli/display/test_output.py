from __future__ import annotations

import io
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.cli.display import output, presenters, progress_modes
from pumice.errors import UsageError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (64_300_000, "64.3 MB"),
        (2 * 10**12, "2.0 TB"),
        (10**18, "1000.0 PB"),
    ],
)
def test_sizes(number: int, text: str) -> None:
    assert output.format_size(number) == text


def test_a_table_is_aligned_and_has_no_trailing_blanks() -> None:
    text = output.format_table(["NAME", "SIZE"], [["libc6", "1"], ["a", "1000"]], right=[1])
    assert text == "NAME   SIZE\nlibc6     1\na      1000\n"


@given(st.text())
def test_nothing_printed_commands_a_terminal(text: str) -> None:
    assert all(c in "\n\t" or c.isprintable() for c in output.printable(text))


@pytest.mark.parametrize(("mode", "kind"), [("plain", presenters.Plain), ("json", presenters.JsonLines)])
def test_modes(mode: str, kind: type) -> None:
    assert type(progress_modes.make_progress(mode, io.StringIO())) is kind


def test_auto_is_plain_in_a_log_and_live_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert type(progress_modes.make_progress("auto", io.StringIO())) is presenters.Plain
    assert type(progress_modes.make_progress("auto", Terminal())) is presenters.Live
    monkeypatch.setenv("TERM", "dumb")
    assert type(progress_modes.make_progress("auto", Terminal())) is presenters.Plain


def test_another_mode_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no progress mode 'loud'"):
        progress_modes.make_progress("loud")


def test_plain_lines_leave_out_the_parts_of_a_task() -> None:
    stream = io.StringIO()
    progress = progress_modes.make_progress("plain", stream)
    with progress.task("fetch libc6", 2_757_000) as task:
        task.advance(1)
    with progress.task("lock", 3, unit="packages"), progress.task("a part of it"):
        pass
    progress.note("reusing\x1b[2J 3 packages")
    progress.warn("no security suite")
    assert stream.getvalue() == (
        "fetch libc6 (2.8 MB)\nlock (3 packages)\nreusing\\u001b[2J 3 packages\nwarning: no security suite\n"
    )


def test_json_lines_tell_beginning_and_end_of_each_task() -> None:
    stream = io.StringIO()
    progress = progress_modes.make_progress("json", stream)
    with pytest.raises(ValueError, match="stop"), progress.task("one", 10), progress.task("two") as two:
        two.advance(7)
        raise ValueError("stop")
    progress.note("n\n")
    progress.warn("w")
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert events == [
        {"event": "begin", "task": 1, "label": "one", "total": 10, "unit": "bytes"},
        {"event": "begin", "task": 2, "label": "two", "total": None, "unit": "bytes"},
        {"event": "end", "task": 2, "done": 7, "ok": False},
        {"event": "end", "task": 1, "done": 0, "ok": False},
        {"event": "note", "message": "n\n"},
        {"event": "warning", "message": "w"},
    ]


def test_none_keeps_warnings() -> None:
    stream = io.StringIO()
    progress = progress_modes.make_progress("none", stream)
    with progress.task("x", 1) as task:
        task.advance(1)
    progress.note("n")
    progress.warn("w")
    assert stream.getvalue() == "warning: w\n"


def test_short_task_shows_no_bar() -> None:
    stream = Terminal()
    progress = progress_modes.make_progress("auto", stream)
    with progress.task("quick", 10) as task:
        task.advance(10)
    progress.note("done")
    assert stream.getvalue() == "done\n"


def test_bars_appear_when_there_is_something_to_wait_for_and_leave_without_a_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presenters, "LIVE_DELAY", 0)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    live = presenters.Live(stream)
    with live.task("fetch [bold]", 10) as task, live.task("more") as more:
        assert live.display_shown.wait(60)
        task.advance(5)
        more.advance(5)
        live.note("a note [bold]")
    live.note("after")
    text = stream.getvalue()
    assert "fetch [bold]" in text
    assert "a note [bold]" in text
    assert text.endswith("after\n")
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is back


@pytest.mark.parametrize("mode", ["plain", "json"])
@pytest.mark.concurrency
def test_lines_of_many_threads_never_mix(mode: str) -> None:
    stream = io.StringIO()
    progress = progress_modes.make_progress(mode, stream)

    def work(name: str) -> None:
        for number in range(50):
            with progress.task(f"{name}-{number}", 1) as task:
                task.advance(1)

    threads = [threading.Thread(target=work, args=(f"t{index}",)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = stream.getvalue().splitlines()
    if mode == "json":
        begun = {event["task"]: event for event in map(json.loads, lines) if event["event"] == "begin"}
        assert len(begun) == 400
    else:
        assert sorted(lines) == sorted(f"t{a}-{b} (1 B)" for a in range(8) for b in range(50))


@pytest.mark.parametrize(
    ("environment", "welcome"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_a_terminals_own_business(
    environment: dict[str, str], welcome: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert output.has_color(Terminal()) is welcome
    assert output.has_color(io.StringIO()) is (environment == {"FORCE_COLOR": "1", "TERM": "dumb"})
