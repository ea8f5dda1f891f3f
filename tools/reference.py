"""Update the ``--help`` texts in the reference pages. Tests fail if a page is outdated.

Usage: python tools/reference.py [--check]
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from pathlib import Path

from pumice.cli.main import COMMANDS, main

PAGES = Path(__file__).resolve().parent.parent / "docs" / "reference"
BLOCK = re.compile(r"(?<=<!-- help -->\n```text\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)


def help_text(verb: str) -> str:
    """Return what ``pumice VERB --help`` prints, at a width that does not depend on the terminal."""
    previous = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
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


def update_pages(check: bool) -> int:
    drifted = [verb for verb in COMMANDS if (PAGES / f"{verb}.md").read_text() != update_help(verb)]
    for verb in drifted:
        if check:
            print(f"docs/reference/{verb}.md does not show today's help", file=sys.stderr)
        else:
            (PAGES / f"{verb}.md").write_text(update_help(verb))
    return int(check and bool(drifted))


if __name__ == "__main__":
    sys.exit(update_pages("--check" in sys.argv[1:]))
