"""What is made from the parsers is up to date, and good for the programs that read it."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.peers import need
from tools import completion_table, man_pages, reference
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
    """``man`` renders no page with a wrong request, and apropos finds its one line of description.

    Other spellings that help texts hide too, such as ``--tls-verify=1``, are not in the page.
    """
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
            documented = [action for action in parser._actions if action.help != argparse.SUPPRESS]
            names = [name for action in documented for name in action.option_strings]
            assert [name for name in names if name not in text] == []


def test_text_is_escaped_for_roff() -> None:
    assert man_pages.escape(".so /etc/passwd") == "\\&.so /etc/passwd"
    assert man_pages.escape("a\\b 'c' --d") == "a\\eb \\(aqc\\(aq \\-\\-d"


def test_a_wheel_installs_the_man_pages_and_the_table_of_completion(tmp_path: Path) -> None:
    code = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    contents = []
    for name in ("first", "second"):
        build = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / name)],
            cwd=man_pages.PAGES.parent,
            check=True,
            capture_output=True,
            text=True,
        )
        with zipfile.ZipFile(tmp_path / name / build.stdout.split()[-1]) as wheel:
            contents.append({path: wheel.read(path) for path in wheel.namelist()})
    wheel_files, _ = contents
    installed_pages = {
        path.rpartition("/")[2]: data
        for path, data in wheel_files.items()
        if ".data/data/share/man/man1/" in path
    }
    assert installed_pages == {page.name: page.read_bytes() for page in MAN_PAGES}
    assert wheel_files["pumice/cli/shell_completion/completion.tsv"] == completion_table.TABLE.read_bytes()
    assert contents[0] == contents[1]
