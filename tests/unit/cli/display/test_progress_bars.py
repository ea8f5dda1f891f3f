"""Progress displays on a real terminal: what they show, and that nothing wraps."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
import threading
from collections.abc import Iterator

import pytest

from pumice.cli.display import presenters
from pumice.cli.display.progress_text import format_progress, format_rate, format_time_left

LABEL = "pulling registry.example/a/repository/with/a/long/name/hello:1.0"
MEGABYTE = 1_000_000
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A pseudo-terminal whose output is collected."""

    def __init__(self, columns: int) -> None:
        self._reader, writer = pty.openpty()
        self.stream = os.fdopen(writer, "w")
        self.resize(columns)
        self._chunks: list[bytes] = []
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.stream.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def _collect(self) -> None:
        while True:
            try:
                data = os.read(self._reader, 65536)
            except OSError:  # the other end is closed
                return
            if not data:
                return
            self._chunks.append(data)

    def close(self) -> list[str]:
        """Close the terminal and return its lines without escape sequences, also those that were erased."""
        self.stream.close()
        self._thread.join()
        os.close(self._reader)
        text = b"".join(self._chunks).decode()
        return [line for line in re.split(r"[\r\n]+", _ESCAPE.sub("", text)) if line.strip()]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(presenters, "LIVE_DELAY", 0)
    yield


def transfer(live: presenters.Live, *, steps: int = 4) -> None:
    """Display a transfer of some megabytes, with a frame for each step."""
    with live.task(LABEL, 10 * MEGABYTE) as task:
        assert live.display_shown.wait(30)
        for _ in range(steps):
            task.advance(MEGABYTE)
            live.refresh()


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_nothing_wraps(columns: int) -> None:
    terminal = Terminal(columns)
    transfer(presenters.Live(terminal.stream))
    lines = terminal.close()
    assert lines
    assert max(map(len, lines)) < columns


@pytest.mark.parametrize(("columns", "has_rate", "has_bar"), [(40, False, False), (80, True, True)])
def test_a_transfer_shows_the_rate_and_the_time_left(columns: int, has_rate: bool, has_bar: bool) -> None:
    terminal = Terminal(columns)
    transfer(presenters.Live(terminal.stream))
    line = next(line for line in reversed(terminal.close()) if "40%" in line)
    assert line.startswith("pulling ")
    assert re.search(r" \d+ s left$", line)
    assert bool(re.search(r" [0-9.]+ [kMGT]?B/s ", line)) == has_rate
    assert ("━" in line) == has_bar


def test_the_lines_follow_a_change_of_the_width() -> None:
    terminal = Terminal(120)
    live = presenters.Live(terminal.stream)
    with live.task(LABEL, 10 * MEGABYTE) as task:
        assert live.display_shown.wait(30)
        task.advance(4 * MEGABYTE)
        live.refresh()
        terminal.resize(40)
        task.advance(4 * MEGABYTE)
        live.refresh()
    lines = terminal.close()
    assert max(len(line) for line in lines if "40%" in line) > 80
    assert max(len(line) for line in lines if "80%" in line) < 40


def test_the_display_leaves_no_line_behind() -> None:
    terminal = Terminal(80)
    transfer(presenters.Live(terminal.stream))
    live = presenters.Live(terminal.stream)
    live.note("done")
    assert terminal.close()[-1] == "done"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.4, "0 s left"),
        (59, "59 s left"),
        (185, "3:05 min left"),
        (7800, "2:10 h left"),
        (1e9, ""),
    ],
)
def test_the_time_left(seconds: float | None, text: str) -> None:
    assert format_time_left(seconds) == text


def test_only_bytes_have_a_rate() -> None:
    assert format_rate(4_200_000, "bytes") == "4.2 MB/s"
    assert format_rate(3, "packages") == ""
    assert format_rate(None, "bytes") == ""


@pytest.mark.parametrize(
    ("done", "total", "unit", "elapsed", "text"),
    [
        (4_000_000, 10_000_000, "bytes", 2.0, "4.0 MB of 10.0 MB, 2.0 MB/s, 3 s left"),
        (4_000_000, None, "bytes", 2.0, "4.0 MB, 2.0 MB/s"),
        (5, 20, "packages", 10.0, "5 packages of 20 packages, 30 s left"),
        (0, 20, "packages", 10.0, "0 packages of 20 packages"),
        (20, 20, "packages", 0.0, "20 packages of 20 packages"),
    ],
)
def test_plain_lines_have_the_rate_and_the_time_left(
    done: int, total: int | None, unit: str, elapsed: float, text: str
) -> None:
    assert format_progress(done, total, unit, elapsed) == text
