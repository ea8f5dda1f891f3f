"""The people, machines, registries and web sites of the tests of commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.store.home import Home
from tests.support import images, networks, pods, websites
from tests.support import registry as support
from tests.support.networks import Machine
from tests.support.people import Person
from tests.support.publishers import Publisher, enter_home
from tests.support.registry import Registry
from tests.support.websites import Website


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


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    """Root and another user, who have images for pods; a module may have other people."""
    with pods.person_with_images(request.param) as person:
        yield person


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine whose network the tests may change."""
    with networks.machine() as machine:
        yield machine


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Website]:
    """A web site that serves what a publisher writes."""
    with websites.serving(tmp_path / "www", tmp_path / "nginx") as site:
        yield site


@pytest.fixture
def publisher(
    site: Website, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Publisher:
    """A publisher of App Container images on the web site, in whose home the test runs."""
    enter_home(tmp_path, monkeypatch)
    return Publisher(site, capsys, tmp_path)
