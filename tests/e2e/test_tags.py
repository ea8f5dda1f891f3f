"""The command ``pumice tags``."""

from __future__ import annotations

import pytest

from pumice.cli.main import main
from tests.support.registry import Registry

DIGEST = "sha256:"


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    return capsys.readouterr()


Out = pytest.CaptureFixture[str]


def test_tags_are_listed(host: str, registry: Registry, capsys: Out) -> None:
    signature_tag = "sha256-" + "0" * 64 + ".sig"
    registry.tags["a/b"] = {"1.0": "x", "2.0": "x", signature_tag: "x"}
    registry.page = 1
    assert run(capsys, "tags", f"{host}/a/b")[0] == "1.0\n2.0\n"
    assert run(capsys, "tags", f"docker://{host}/a/b", "--all")[0] == f"1.0\n2.0\n{signature_tag}\n"


def test_an_invalid_repository_is_refused(host: str, capsys: Out) -> None:
    assert "invalid repository name" in run(capsys, "tags", f"{host}/A", code=2)[1]
