"""``pumice logout`` as people type it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.store.home import Home
from tests.support import images
from tests.support import registry as support
from tests.support.registry import Registry


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def host(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A registry, a store with one image, and nobody's logins."""
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    with Home(tmp_path / "store") as home:
        images.make(home, [{"etc/motd": "hello"}], name="example.com/hello:1.0")
    with support.serving(registry) as where:
        yield where


DIGEST = "sha256:"


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    return capsys.readouterr()


Out = pytest.CaptureFixture[str]


def test_a_login_is_forgotten(host: str, capsys: Out, tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    path.write_text(
        json.dumps({"auths": {host: {"auth": "bWU6c2VjcmV0"}, "b.example": {"auth": "bWU6eA=="}}, "x": 1})
    )
    assert str(path) in run(capsys, "logout", host)[1]
    assert json.loads(path.read_text()) == {"auths": {"b.example": {"auth": "bWU6eA=="}}, "x": 1}
    assert "there is no login" in run(capsys, "logout", host, code=1)[1]
    assert "is not the host of a registry" in run(capsys, "logout", "a b", code=2)[1]
