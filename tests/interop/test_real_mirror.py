"""The mirror that this machine's apt uses, from its signature to a package that dpkg accepts."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.clock import SystemClock
from pumice.distro.debian import apt_setup
from pumice.distro.debian.sources import resolve_sources
from pumice.fetch import indexes, packages
from pumice.fetch.session import Session
from pumice.recipe.config import Config
from pumice.recipe.lock import LockedPackage
from pumice.recipe.model import Origin
from pumice.store.home import Home
from tests.support.peers import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.distro.debian.sources import Source

pytestmark = pytest.mark.mirror


@pytest.fixture
def session(shared_home: Path) -> Iterator[Session]:
    with Home(shared_home) as home, Session(home, machine=apt_setup.read_apt_setup()) as apt_setup_of_machine:
        yield apt_setup_of_machine


def configured(suite: str) -> tuple[Source, ...]:
    return resolve_sources(
        Origin(debian=suite), recipe_dir=Path(), config=Config(), machine=apt_setup.read_apt_setup()
    )


def test_resolves_bookworm_with_updates_and_security(session: Session, tmp_path: Path) -> None:
    settings = configured("bookworm")
    loaded_indexes = indexes.load_indexes(settings, ("amd64", "arm64"), session)
    assert [(locked.archive, locked.suite, locked.origin) for locked in loaded_indexes.locked] == [
        ("debian", "bookworm", "Debian"),
        ("debian", "bookworm-updates", "Debian"),
        ("debian-security", "bookworm-security", "Debian"),
    ]
    for architecture in ("amd64", "arm64"):
        universe = loaded_indexes.universe(architecture)
        assert len(list(universe.names())) > 60_000
        assert len(universe.essential()) >= 20
        assert {record.name for record in universe.providers("awk")} >= {"gawk", "mawk"}
        assert universe.versions("libc6")[0].architecture == architecture
    record = loaded_indexes.universe("amd64").versions("hello")[0]
    archive, _, suite = record.suite.partition("/")
    locked = LockedPackage(
        name=record.name, version=record.version, architecture=record.architecture,
        archive=archive, suite=suite, path=record.filename,
        size=record.size, sha256=record.sha256, sha512=record.sha512,
    )  # fmt: skip
    digest = packages.fetch_package(locked, settings, session, recipe_dir=tmp_path)
    with session.home.blobs.open(digest) as file:
        (tmp_path / "hello.deb").write_bytes(file.read())
    output = subprocess.run(
        [need("dpkg-deb"), "-f", str(tmp_path / "hello.deb"), "Version"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert output.stdout.strip() == record.version


def test_resolves_another_suite_than_that_of_the_machine(session: Session) -> None:
    loaded_indexes = indexes.load_indexes(configured("trixie"), ("amd64",), session)
    assert {locked.codename for locked in loaded_indexes.locked} >= {"trixie"}
    assert all(locked.origin == "Debian" for locked in loaded_indexes.locked)
    assert loaded_indexes.universe("amd64").versions("base-files")[0].version.startswith("13")


def test_loaded_indexes_are_available_offline(session: Session) -> None:
    first = indexes.load_indexes(configured("bookworm"), ("amd64",), session)
    with Session(session.home, offline=True, clock=SystemClock()) as offline:
        loaded_indexes = indexes.load_indexes(configured("bookworm"), ("amd64",), offline)
    assert loaded_indexes.locked == first.locked
