"""Record a terminal session as an animated SVG: run the commands, and show each line when its time comes.

Usage: python tools/recording.py FILE
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import NamedTuple

from rich.color import Color
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

COMMANDS = (
    "pumice init",
    "pumice build",
    "pumice run example.com/hello:1.0",
    "pumice explain recipe.yaml libssl3",
    "pumice key generate --output release",
    "pumice sign example.com/hello:1.0 --key release.key",
    "pumice verify example.com/hello:1.0 --key release.pub",
)
"""What is typed. Each is run with colors, and without progress bars, which lines cannot show."""

COLUMNS = 100
SECONDS_PER_COMMAND = 2.2
FONT_SIZE = 14
LINE_HEIGHT = 20
THEME = TerminalTheme(
    (24, 28, 32),
    (216, 222, 228),
    [(60, 66, 72), (239, 110, 110), (130, 200, 130), (230, 192, 110),
     (110, 170, 240), (200, 150, 230), (100, 200, 200), (216, 222, 228)],
    [(130, 138, 146)] * 8,
)  # fmt: skip

STYLE = """
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre; fill: #d8dee4; }
.line { opacity: 0; animation: appear 0.01s linear forwards; }
@keyframes appear { to { opacity: 1; } }
@media (prefers-reduced-motion: reduce) { .line { opacity: 1; animation: none; } }
"""


class Line(NamedTuple):
    """A line of the terminal and the time at which it appears, in seconds."""

    text: Text
    seconds: float


def main(file: Path) -> None:
    """Record the session and write the SVG."""
    with tempfile.TemporaryDirectory() as folder:
        lines = record(Path(folder))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(svg(lines), encoding="utf-8")
    print(f"{file}: {len(lines)} lines")


def record(folder: Path) -> list[Line]:
    """Run the commands in a new directory with a store of its own; return what a terminal shows.

    Raises:
        SystemExit: a command failed.
    """
    directory = folder / "hello"
    directory.mkdir()
    environment = os.environ | {
        "PUMICE_HOME": str(folder / "store"),
        "PUMICE_KEY_PASSPHRASE": "only for this recording",
        "FORCE_COLOR": "1",
        "COLUMNS": str(COLUMNS),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    lines: list[Line] = []
    seconds = 0.0
    for command in COMMANDS:
        process = subprocess.run(
            command.split(),
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if process.returncode:
            sys.exit(f"'{command}' failed: {process.stdout}")
        lines.append(Line(Text.assemble(("$ ", "bright_black"), (command, "bold")), seconds))
        seconds += SECONDS_PER_COMMAND / 2
        lines += [Line(Text.from_ansi(line), seconds) for line in process.stdout.splitlines()]
        seconds += SECONDS_PER_COMMAND / 2
    return lines


def svg(lines: list[Line]) -> str:
    """Return the SVG that shows the lines, each from its time on."""
    width = round(COLUMNS * FONT_SIZE * 0.602) + 40
    height = len(lines) * LINE_HEIGHT + 60
    rows = "\n".join(
        f'<text {_appearance(line.seconds)}x="20" y="{50 + number * LINE_HEIGHT}">{spans(line.text)}</text>'
        for number, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"\n'
        f'  aria-label="A terminal session: an image is built, run, explained, signed and verified">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect width="{width}" height="{height}" rx="8" fill="#181c20"/>\n'
        '<circle cx="20" cy="18" r="6" fill="#ef6e6e"/><circle cx="40" cy="18" r="6" fill="#e6c06e"/>'
        '<circle cx="60" cy="18" r="6" fill="#82c882"/>\n'
        f"{rows}\n</svg>\n"
    )


def _appearance(seconds: float) -> str:
    """Return the attributes of a line that appears after some time; the first one is always there."""
    return f'class="line" style="animation-delay: {seconds:.1f}s" ' if seconds else ""


def spans(text: Text) -> str:
    """Return the text of a line with a span for each style."""
    parts = []
    for segment in text.fit(COLUMNS)[0].render(_console()) if text.plain else []:
        style = segment.style
        attributes = ""
        if style and style.color:
            attributes += f' fill="{_hex(style.color)}"'
        if style and style.dim:
            attributes += ' fill-opacity="0.6"'
        if style and style.bold:
            attributes += ' font-weight="bold"'
        words = escape(segment.text.rstrip("\n"))
        parts.append(f"<tspan{attributes}>{words}</tspan>" if attributes else words)
    return "".join(parts).rstrip()


def _console() -> Console:
    return Console(width=COLUMNS, force_terminal=True, color_system="truecolor")


def _hex(color: Color) -> str:
    return color.get_truecolor(THEME).hex


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/recording.py FILE")
    main(Path(sys.argv[1]))
