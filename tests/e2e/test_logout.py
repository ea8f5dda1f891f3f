"""The command ``pumice logout``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pumice.cli.main import main

DIGEST = "sha256:"


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    return capsys.readouterr()


Out = pytest.CaptureFixture[str]


def test_logout_deletes_the_login(host: str, capsys: Out, tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    path.write_text(
        json.dumps({"auths": {host: {"auth": "bWU6c2VjcmV0"}, "b.example": {"auth": "bWU6eA=="}}, "x": 1})
    )
    assert str(path) in run(capsys, "logout", host)[1]
    assert json.loads(path.read_text()) == {"auths": {"b.example": {"auth": "bWU6eA=="}}, "x": 1}
    assert "not logged in" in run(capsys, "logout", host, code=1)[1]
    assert "invalid registry host" in run(capsys, "logout", "a b", code=2)[1]
