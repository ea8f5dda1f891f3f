"""What is made from the parsers is up to date, and good for the programs that read it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.peers import need
from tools import man_pages, reference
from tools.parser_tree import all_parsers

MAN_PAGES = sorted(man_pages.PAGES.glob("*.1"))


def test_every_generated_file_is_up_to_date() -> None:
    outdated = [str(path) for path, text in reference.current_files().items() if path.read_text() != text]
    assert outdated == [], "run: python tools/reference.py"


def test_every_command_has_a_man_page_and_nothing_else_has() -> None:
    assert {page.name for page in MAN_PAGES} == set(man_pages.format_pages())


def test_groff_has_no_complaint_about_the_man_pages() -> None:
    groff = need("groff")
    done = subprocess.run(
        [groff, "-man", "-Tutf8", "-K", "utf8", "-z", "-ww", "-rCHECKSTYLE=3", *map(str, MAN_PAGES)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


@pytest.mark.parametrize("page", MAN_PAGES, ids=lambda page: page.stem)
def test_man_shows_the_name_and_every_option(page: Path) -> None:
    """``man`` renders no page with a wrong request, and apropos finds its one line of description."""
    rendered = subprocess.run(
        [need("man"), "--warnings", "-Tutf8", "-l", str(page)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
    )
    assert rendered.stderr == ""
    text = re.sub(r".\x08", "", rendered.stdout)  # bold letters are printed twice
    assert re.search(rf"^NAME\n +{page.stem} +- +\w", text, re.MULTILINE)
    verb = page.stem.removeprefix("pumice").removeprefix("-")
    for command, parser in all_parsers():
        if command.split()[0] == verb:
            assert [name for name in parser._option_string_actions if name not in text] == []


def test_text_is_escaped_for_roff() -> None:
    assert man_pages.escape(".so /etc/passwd") == "\\&.so /etc/passwd"
    assert man_pages.escape("a\\b 'c' --d") == "a\\eb \\(aqc\\(aq \\-\\-d"
