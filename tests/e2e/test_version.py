"""``pumice version``."""

from __future__ import annotations

import json
import platform

import pytest

from pumice.cli.main import main
from pumice.version import __version__

Out = pytest.CaptureFixture[str]


def run(capsys: Out, *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    return capsys.readouterr()


def test_the_versions_are_printed(capsys: Out) -> None:
    out, err = run(capsys, "version")
    lines = out.splitlines()
    assert lines[0] == f"pumice {__version__}"
    assert lines[1] == f"python {platform.python_version()}"
    assert lines[2].startswith("platform linux/")
    assert err == ""


def test_json_and_templates(capsys: Out) -> None:
    value = json.loads(run(capsys, "version", "--json")[0])
    assert value["version"] == __version__
    assert run(capsys, "version", "--format", "json")[0] == run(capsys, "version", "--json")[0]
    assert run(capsys, "version", "--format", "{{.Version}}")[0] == f"{__version__}\n"


def test_an_unknown_field_is_refused(capsys: Out) -> None:
    assert run(capsys, "version", "--format", "{{.Client.Version}}", code=2) == (
        "",
        (
            "error: invalid template in --format: unknown field .Client\n"
            "  hint: the fields are .Version, .Python, .Platform, .Store\n"
        ),
    )
