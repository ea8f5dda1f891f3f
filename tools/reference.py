"""Update what is made from the parsers: help in the reference pages, man pages, the table for completion.

Tests fail if a file is outdated. Usage: python tools/reference.py [--check]
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # as a program, only tools/ is on the path

from pumice.cli.commands import COMMANDS
from pumice.cli.main import main
from tools import completion_table, isolators_page, man_pages

PAGES = Path(__file__).resolve().parent.parent / "docs" / "reference"
BLOCK = re.compile(r"(?<=<!-- help -->\n```text\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)


def help_text(verb: str, columns: int = 80) -> str:
    """Return what ``pumice VERB --help`` prints, at a width that does not depend on the terminal."""
    previous = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(columns)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            main([verb, "--help"])
    finally:
        if previous is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = previous
    return printed.getvalue()


def update_help(verb: str) -> str:
    """Return the page of ``verb`` with the current help text."""
    text = (PAGES / f"{verb}.md").read_text()
    return BLOCK.sub(lambda _: help_text(verb), text, count=1)


def current_files() -> dict[Path, str]:
    """Return every file that is made from the parsers, with its content of today."""
    pages = {PAGES / f"{verb}.md": update_help(verb) for verb in COMMANDS}
    man = {man_pages.PAGES / name: text for name, text in man_pages.format_pages().items()}
    table = {isolators_page.PAGE: isolators_page.update_page()}
    return pages | man | table | {completion_table.TABLE: completion_table.format_table()}


def update_files(check: bool) -> int:
    drifted = {
        path: text for path, text in current_files().items() if not path.exists() or path.read_text() != text
    }
    for path, text in drifted.items():
        if check:
            print(f"{path} is out of date: run python tools/reference.py", file=sys.stderr)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return int(check and bool(drifted))


if __name__ == "__main__":
    sys.exit(update_files("--check" in sys.argv[1:]))
