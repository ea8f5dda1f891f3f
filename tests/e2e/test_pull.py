"""The command ``pumice pull``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.store.home import Home
from tests.support.registry import Registry

DIGEST = "sha256:"


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    return capsys.readouterr()


Out = pytest.CaptureFixture[str]


def test_an_image_is_pulled_under_its_name(
    host: str, registry: Registry, capsys: Out, tmp_path: Path
) -> None:
    digest, _ = run(capsys, "push", "example.com/hello:1.0", f"{host}/team/hello")
    with Home(tmp_path / "store") as home:
        home.refs.remove("example.com/hello:1.0")
    anyway = "--insecure-options=image"
    assert run(capsys, "pull", f"{host}/team/hello:1.0", anyway)[0] == digest
    assert run(capsys, "pull", f"docker://{host}/team/hello:1.0", "mine/hello", anyway)[0] == digest
    assert run(capsys, "pull", f"{host}/team/hello@{digest.strip()}", anyway)[0] == digest
    images = json.loads(run(capsys, "images", "--format", "json")[0])
    short = digest.strip()[7:19]
    assert [image["name"] for image in images] == [
        f"{host}/team/hello:1.0",
        f"{host}/team/hello:digest-{short}",
        "mine/hello:1.0",
    ]


def test_an_image_that_was_built_here_is_refused_under_another_name(host: str, capsys: Out) -> None:
    digest, _ = run(capsys, "push", "example.com/hello:1.0", f"{host}/team/bank")
    run(capsys, "pull", f"{host}/team/bank@{digest.strip()}", "--progress", "none", code=7)
    out, err = run(capsys, "pull", f"{host}/team/bank:1.0", "--progress", "none", code=7)
    assert out == ""
    assert "pass --allow-unsigned" in err
    run(capsys, "verify", f"docker://{host}/team/bank:1.0", "--allow-built-here", code=7)


def test_pull_reports_a_missing_image(host: str, capsys: Out) -> None:
    out, err = run(capsys, "pull", f"{host}/team/none:1", "--progress", "none", code=10)
    assert (out, err) == (
        "",
        f"error: {host}/team/none:1: not found in the registry (MANIFEST_UNKNOWN: manifest unknown)\n",
    )
