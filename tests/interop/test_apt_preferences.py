"""Choose the archive of each package like apt with equivalent pins."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.support import archive
from tests.support.archive import Deb, Suite
from tests.support.peers import need
from tests.support.pinned_apt import PinnedApt
from tests.support.workshop import Workshop

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.apt import Verdict

pytestmark = pytest.mark.peer("apt-get")

EXTRA = "release o=Tools"
BACKPORTS = (("NotAutomatic", "yes"), ("ButAutomaticUpgrades", "yes"))
EXPERIMENTAL = (("NotAutomatic", "yes"),)


def deb(name: str, version: str, depends: str = "") -> Deb:
    return Deb(name, version, fields={"Depends": depends} if depends else {})


class World:
    """Debian, its backports and an archive of tools, for Pumice and for apt."""

    def __init__(
        self,
        root: Path,
        debian: Sequence[Deb],
        tools: Sequence[Deb] = (),
        backports: Sequence[Deb] = (),
        tools_fields: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.shop = Workshop(root)
        self.shop.publish(*debian)
        archive.publish(
            root / "mirror",
            Suite(
                "bookworm-backports",
                packages=backports,
                origin="Debian Backports",
                suite="stable-backports",
                fields=BACKPORTS,
            ),
        )
        archive.publish(root / "tools", Suite("stable", packages=tools, origin="Tools", fields=tools_fields))
        self._runs = 0

    def ours(self, requests: Sequence[str], /, **tools: object) -> tuple[str, ...]:
        """Return the packages of a new lock."""
        self.shop.lock_path.unlink(missing_ok=True)
        entry = {
            "name": "tools",
            "url": (self.shop.root / "tools").as_uri(),
            "suite": "stable",
            "key": "keyring.asc",
            **tools,
        }
        self.shop.write(
            requests,
            **{
                "from": {
                    "debian": "bookworm",
                    "suites": ["bookworm", "bookworm-backports"],
                    "mirrors": [self.shop.url],
                    "keyrings": ["keyring.asc"],
                    "archives": [entry],
                }
            },
        )
        from pumice.assembly import locking

        with self.shop.connection() as connection:
            locking.ensure_lock(
                self.shop.recipe(),
                self.shop.lock_path,
                connection,
                architectures=["amd64"],
                progress=self.shop.progress,
            )
        return tuple(self.shop.pins())

    def apt(self, packages: Sequence[str], *pins: tuple[str, str, int]) -> Verdict:
        """Return apt's solution with these pins."""
        self._runs += 1
        entries = [
            f"{self.shop.url} bookworm main",
            f"{self.shop.url} bookworm-backports main",
            f"{(self.shop.root / 'tools').as_uri()} stable main",
        ]
        folder = self.shop.root / f"apt{self._runs}"
        folder.mkdir()
        return PinnedApt(folder, entries, pins).install(packages)


@pytest.fixture(autouse=True)
def _apt() -> None:
    need("apt-get")


def pin_names(*names: str) -> tuple[tuple[str, str, int], ...]:
    """Return the pins that are equivalent to the defaults for an archive of the recipe."""
    return ((" ".join(names), EXTRA, 500), ("*", EXTRA, 50))


def test_an_extra_archive_replaces_only_requested_packages(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        [deb("app", "1", "lib"), deb("lib", "1", "base"), deb("base", "1")],
        [deb("app", "2", "lib"), deb("lib", "2", "base"), deb("base", "2")],
    )
    expected = ("app=2", "base=1", "lib=1")
    assert world.ours(["app"]) == expected
    assert world.apt(["app"], *pin_names("app")).packages == expected
    assert world.apt(["app"]).packages == ("app=2", "base=2", "lib=2"), "the pins make the difference"


def test_a_dependency_comes_from_the_extra_archive_only_if_necessary(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        [
            deb("postgresql", "15", "libpq5"),
            deb("libpq5", "15.1", "libc6"),
            deb("libc6", "2"),
            deb("py", "1", "libpq5"),
        ],
        [
            deb("postgresql", "16", "libpq5 (>= 16), libc6"),
            deb("libpq5", "16.1", "libc6"),
            deb("libpq5", "16.2", "libc6"),
            deb("libc6", "3"),
        ],
    )
    expected = ("libc6=2", "libpq5=16.2", "postgresql=16", "py=1")
    assert world.ours(["py", "postgresql"]) == expected
    assert world.apt(["py", "postgresql"], *pin_names("postgresql", "libpq5")).packages == expected


def test_backports_are_used_only_if_requested_or_needed(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        [deb("app", "1", "lib"), deb("lib", "1"), deb("other", "1", "fresh")],
        backports=[deb("app", "2~bpo", "lib (>= 2~)"), deb("lib", "2~bpo"), deb("fresh", "3~bpo")],
    )
    for requests, expected in (
        (["app"], ("app=1", "lib=1")),
        (["other"], ("fresh=3~bpo", "other=1")),
        (["app=2~bpo", "lib=2~bpo"], ("app=2~bpo", "lib=2~bpo")),
        (["app=2*", "lib=2*"], ("app=2~bpo", "lib=2~bpo")),
    ):
        assert world.ours(requests) == expected
        assert world.apt(requests).packages == expected
    assert world.ours(["app=2~bpo"]) == ("app=2~bpo", "lib=2~bpo"), "apt needs -t for this"


def test_a_version_with_a_wildcard_is_the_highest_that_matches(tmp_path: Path) -> None:
    debian = [deb("curl", version) for version in ("7.88.1-10", "7.88.1-9", "7.90-1", "8.1-1")]
    world = World(tmp_path, debian, backports=[deb("curl", "7.88.2-1~bpo")])
    for request in ("curl=7.88.*", "curl=7.*", "curl=*-1", "curl=7.88.1-*", "curl=8*", "curl=*"):
        assert world.ours([request]) == world.apt([request]).packages
    assert world.ours(["curl=7.88.1*"]) == ("curl=7.88.1-10",)


@pytest.mark.parametrize("fields", [BACKPORTS, EXPERIMENTAL], ids=["backports", "experimental"])
def test_an_archive_that_is_not_automatic_is_used_only_if_requested(
    fields: tuple[tuple[str, str], ...], tmp_path: Path
) -> None:
    world = World(
        tmp_path,
        [deb("app", "1"), deb("lib", "1")],
        [deb("app", "2", "lib"), deb("only", "2", "lib"), deb("lib", "2")],
        tools_fields=fields,
    )
    for requests in (["app"], ["app=2"], ["only"]):
        assert world.ours(requests) == world.apt(requests).packages


@pytest.mark.parametrize("priority", [1, 100, 499, 500, 501, 990])
def test_priorities_work_as_in_apt(priority: int, tmp_path: Path) -> None:
    world = World(
        tmp_path,
        [deb("app", "1", "lib"), deb("lib", "1"), deb("new", "5")],
        [deb("app", "2", "lib"), deb("lib", "2"), deb("new", "4")],
    )
    for requests in (["app"], ["new"], ["lib", "new"]):
        pumice_packages = world.ours(requests, priority=priority)
        assert pumice_packages == world.apt(requests, ("*", EXTRA, priority)).packages


def test_packages_limits_what_an_archive_provides(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        [deb("app", "1", "libx1"), deb("libx1", "1"), deb("tool", "1")],
        [deb("app", "2", "libx1"), deb("libx1", "2"), deb("tool", "2")],
    )
    expected = ("app=1", "libx1=2", "tool=1")
    assert world.ours(["app", "tool"], packages=["libx*"]) == expected
    pins = (("libx*", EXTRA, 500), ("*", EXTRA, -10))
    assert world.apt(["app", "tool"], *pins).packages == expected


@pytest.mark.parametrize("suite", ["./", "/", "deb/", "a/b/"])
def test_a_flat_archive_is_read_as_by_apt(suite: str, tmp_path: Path) -> None:
    folder = suite.removeprefix("./").lstrip("/")
    world = World(tmp_path, [deb("lib", "1")])
    flat = archive.publish_flat(tmp_path / "flat", folder, deb("tool", "1", "lib"))
    (tmp_path / "apt").mkdir()
    apt = PinnedApt(tmp_path / "apt", [f"{world.shop.url} bookworm main", f"{flat.as_uri()} {suite}"])
    assert world.ours(["tool"], url=flat.as_uri(), suite=suite) == apt.install(["tool"]).packages
    download = apt.run("apt-get", "download", "tool", cwd=tmp_path)
    assert download.returncode == 0, download.stderr


def random_world(root: Path, dice: random.Random) -> tuple[World, list[str]]:
    """Return packages a to h in up to three archives; dependencies have no versions, so pins decide."""
    names = "abcdefgh"
    stocks: dict[str, list[Deb]] = {"debian": [], "tools": [], "backports": []}
    for number, name in enumerate(names):
        homes = dice.sample(sorted(stocks), dice.randint(1, 3))
        later_names = names[number + 1 :]
        for home in homes:
            depends = ", ".join(f"p{dependency}" for dependency in later_names if dice.random() < 0.3)
            stocks[home].append(
                deb(f"p{name}", f"{dice.randint(1, 9)}.{sorted(stocks).index(home)}", depends)
            )
    world = World(root, stocks["debian"], stocks["tools"], stocks["backports"])
    return world, [f"p{name}" for name in dice.sample(names, dice.randint(1, 3))]


@pytest.mark.parametrize("seed", range(12))
def test_any_archives_resolve_as_with_apt(seed: int, tmp_path: Path) -> None:
    world, requests = random_world(tmp_path, random.Random(seed))
    # Packages of Debian and its backports take precedence over the tools, unless they are requested by name.
    pins = ((" ".join(requests), EXTRA, 500), ("*", EXTRA, 50))
    assert world.ours(requests) == world.apt(requests, *pins).packages
