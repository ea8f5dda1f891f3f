"""``pumice delete`` as people type it."""

from __future__ import annotations

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


def test_a_tag_or_a_manifest_is_deleted(host: str, registry: Registry, capsys: Out) -> None:
    digest = run(capsys, "push", "example.com/hello:1.0", f"{host}/team/hello")[0].strip()
    run(capsys, "push", "example.com/hello:1.0", f"{host}/team/hello:2")
    assert run(capsys, "delete", f"{host}/team/hello:2")[0] == f"{host}/team/hello:2\n"
    assert registry.tags["team/hello"] == {"1.0": digest}
    run(capsys, "delete", f"docker://{host}/team/hello@{digest}")
    assert registry.manifests == {}
    assert "does not have it" in run(capsys, "delete", f"{host}/team/hello:1.0", code=6)[1]


def test_nothing_is_deleted_by_default(host: str, registry: Registry, capsys: Out) -> None:
    assert "names neither tag nor digest" in run(capsys, "delete", f"{host}/team/hello", code=2)[1]
    assert registry.log == []
