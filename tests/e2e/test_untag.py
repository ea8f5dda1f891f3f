"""``pumice untag``."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.store.home import Home
from tests.support import images

Out = pytest.CaptureFixture[str]


def run(capsys: Out, *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    return capsys.readouterr()


@pytest.fixture(autouse=True)
def _names(host: str, tmp_path: Path) -> None:
    with Home(tmp_path / "store") as home:
        root = home.refs.get("example.com/hello:1.0")
        assert root
        home.refs.set("example.com/hello:stable", root)
        home.refs.set("short:latest", root)
        images.make(home, [{"etc/motd": "other"}], name="example.com/other:1.0")


def names(tmp_path: Path) -> list[str]:
    with Home(tmp_path / "store") as home:
        return home.refs.names()


def test_the_given_names_are_removed(capsys: Out, tmp_path: Path) -> None:
    out = run(capsys, "untag", "example.com/hello:1.0", "short", "example.com/hello:stable")[0]
    assert out == "short:latest\nexample.com/hello:stable\n"
    assert names(tmp_path) == ["example.com/hello:1.0", "example.com/other:1.0"]


def test_without_names_all_of_the_image_are_removed(capsys: Out, tmp_path: Path) -> None:
    out = run(capsys, "untag", "short")[0]
    assert out.splitlines() == ["example.com/hello:1.0", "example.com/hello:stable", "short:latest"]
    assert names(tmp_path) == ["example.com/other:1.0"]


def test_a_name_of_another_image_is_refused(capsys: Out, tmp_path: Path) -> None:
    out, err = run(capsys, "untag", "short", "short:latest", "example.com/other:1.0", code=10)
    assert (out, err) == (
        "",
        (
            "error: 'example.com/other:1.0' is not a name of 'short'\n"
            "  hint: its names are example.com/hello:1.0, example.com/hello:stable, short:latest\n"
        ),
    )
    assert len(names(tmp_path)) == 4
