"""Fixtures for the commands that talk to registries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.store.home import Home
from tests.support import images
from tests.support import registry as support
from tests.support.registry import Registry


@pytest.fixture
def registry() -> Registry:
    """A registry in memory that records its requests."""
    return Registry()


@pytest.fixture
def host(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of a registry; the store has one image, and there are no logins."""
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    with Home(tmp_path / "store") as home:
        images.make(home, [{"etc/motd": "hello"}], name="example.com/hello:1.0")
    with support.serving(registry) as where:
        yield where
