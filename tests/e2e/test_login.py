"""The command ``pumice login``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pumice.cli.main import main
from tests.support.registry import Registry

DIGEST = "sha256:"


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    return capsys.readouterr()


Out = pytest.CaptureFixture[str]


def type_in(monkeypatch: pytest.MonkeyPatch, text: str, encoding: str = "utf-8") -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode(encoding))))


@pytest.mark.parametrize("tokens", [True, False])
def test_a_login_is_verified_saved_and_used(
    tokens: bool, host: str, registry: Registry, capsys: Out, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registry.users, registry.tokens = {"me": "secret"}, tokens
    assert "pumice login" in run(capsys, "tags", f"{host}/a", code=6)[1]
    type_in(monkeypatch, "wrong\n")
    run(capsys, "login", host, "-u", "me", "--password-stdin", code=6)
    assert not (tmp_path / "auth.json").exists()
    type_in(monkeypatch, "secret\n")
    out, err = run(capsys, "login", host, "-u", "me", "--password-stdin")
    assert out == ""
    assert "secret" not in err
    assert list(json.loads((tmp_path / "auth.json").read_text())["auths"]) == [host]
    run(capsys, "push", "example.com/hello:1.0", f"{host}/team/hello")
    assert "1.0" in registry.tags["team/hello"]


def test_a_password_is_not_read_from_the_command_line(
    host: str, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(capsys, "login", host, "-u", "me", "-p", "secret", code=2)[0] == ""
    type_in(monkeypatch, "")
    assert "not a terminal" in run(capsys, "login", host, code=2)[1]
    assert "needs --username" in run(capsys, "login", host, "--password-stdin", code=2)[1]
    assert "password is empty" in run(capsys, "login", host, "-u", "me", "--password-stdin", code=2)[1]
    type_in(monkeypatch, "p\xe4ss", "latin-1")
    assert "not UTF-8" in run(capsys, "login", host, "-u", "me", "--password-stdin", code=2)[1]
