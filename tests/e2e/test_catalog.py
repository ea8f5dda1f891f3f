"""``pumice catalog``."""

from __future__ import annotations

import json

import pytest

from pumice.cli.main import main
from tests.support.registry import Registry

Out = pytest.CaptureFixture[str]


def run(capsys: Out, *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    return capsys.readouterr()


def test_repositories_are_listed(host: str, registry: Registry, capsys: Out) -> None:
    registry.tags |= {"b/c": {"1": "x"}, "a": {"1": "x"}, "z": {"1": "x"}}
    registry.page = 1
    assert run(capsys, "catalog", host) == ("a\nb/c\nz\n", "")
    assert run(capsys, "catalog", f"docker://{host}/", "--full-ref")[0] == f"{host}/a\n{host}/b/c\n{host}/z\n"
    assert json.loads(run(capsys, "catalog", host, "--json")[0])[0] == {"name": "a", "reference": f"{host}/a"}
    assert run(capsys, "catalog", host, "--format", "{{.Reference}}")[0].splitlines()[2] == f"{host}/z"


def test_names_cannot_control_a_terminal(host: str, registry: Registry, capsys: Out) -> None:
    registry.tags["\x1b[2J\nb"] = {"1": "x"}
    assert run(capsys, "catalog", host)[0] == "\\u001b[2J\\u000ab\n"


def test_an_invalid_host_is_refused(host: str, capsys: Out) -> None:
    assert "is a repository: expected a registry" in run(capsys, "catalog", f"{host}/a/b", code=2)[1]
