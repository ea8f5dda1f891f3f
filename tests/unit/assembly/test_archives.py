"""What archives other than Debian's may provide, and how a lock records it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pumice.assembly import locking
from pumice.errors import FetchError, RecipeError, ResolveError, TrustError
from tests.support import archive
from tests.support.archive import Deb, Suite
from tests.support.recording_progress import RecordingProgress
from tests.support.workshop import Workshop

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ESSENTIAL = {"Essential": "yes"}
REQUIRED = {"Priority": "required"}


class Shop(Workshop):
    """A workshop with an archive called ``tools``."""

    def tools(self, *debs: Deb) -> None:
        archive.publish(self.root / "tools", Suite("stable", packages=debs, origin="Tools"))

    def lock_with(self, wanted: Sequence[str], /, *, base: str = "none", **tools: Any) -> list[str]:
        entry = {
            "name": "tools", "url": (self.root / "tools").as_uri(), "suite": "stable", "key": "keyring.asc",
            **tools,
        }  # fmt: skip
        entry = {key: value for key, value in entry.items() if value}
        origin = {
            "debian": "bookworm", "suites": ["bookworm"], "mirrors": [self.url], "keyrings": ["keyring.asc"],
            "archives": [entry],
        }  # fmt: skip
        self.write(wanted, base=base, **{"from": origin})
        self.progress = RecordingProgress()
        with self.connection() as connection:
            locking.ensure_lock(
                self.recipe(), self.lock_path, connection, architectures=["amd64"], progress=self.progress
            )
        return self.pins()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path)
    made.publish(
        Deb("app", "1", fields={"Depends": "lib"}),
        Deb("lib", "1"),
        Deb("dash", "1", fields=ESSENTIAL),
        Deb("mawk", "1", fields=REQUIRED),
        Deb("base-files", "1"),
        Deb("base-passwd", "1"),
    )
    return made


def test_the_base_never_comes_from_an_extra_archive(shop: Shop) -> None:
    shop.tools(
        Deb("dash", "9", fields=ESSENTIAL),
        Deb("mawk", "9"),
        Deb("base-files", "9"),
        Deb("evil", "9", fields=ESSENTIAL),
    )
    assert shop.lock_with(["mawk"], base="essential") == ["dash=1", "mawk=1"]
    shop.lock_path.unlink()
    assert shop.lock_with(["mawk", "dash"], base="data") == [
        "base-files=1", "base-passwd=1", "dash=1", "mawk=1"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"packages": ["dash", "evil"]}, ["dash=9", "evil=9", "mawk=1"]),
        ({"priority": 500}, ["dash=9", "evil=9", "mawk=9"]),
        ({"priority": 499}, ["dash=1", "mawk=1"]),
    ],
    ids=["packages", "priority", "low-priority"],
)
def test_the_recipe_can_take_the_base_from_an_extra_archive(
    shop: Shop, rule: dict[str, Any], expected: list[str]
) -> None:
    shop.tools(Deb("dash", "9", fields=ESSENTIAL), Deb("mawk", "9"), Deb("evil", "9", fields=ESSENTIAL))
    assert shop.lock_with(["mawk"], base="essential", **rule) == expected


def test_a_package_that_needs_another_base_is_rejected_with_the_cause(shop: Shop) -> None:
    shop.tools(Deb("tool", "2", fields={"Depends": "dash (>= 9)"}), Deb("dash", "9"))
    with pytest.raises(ResolveError) as caught:
        shop.lock_with(["tool"])
    assert "dash 9 is only in the archive tools, which may not provide it" in str(caught.value)
    with pytest.raises(ResolveError) as caught:
        shop.lock_with(["dash=9"])
    assert caught.value.hint == "add dash to the 'packages' of the archive tools"


def test_a_package_outside_the_list_is_reported_as_such(shop: Shop) -> None:
    shop.tools(Deb("tool", "2"), Deb("other", "1"))
    with pytest.raises(ResolveError) as caught:
        shop.lock_with(["tool"], packages=["other"])
    assert caught.value.message == "tool 2 is only in the archive tools, which may not provide it"


def test_an_alternative_from_debian_is_preferred_to_an_extra_archive(shop: Shop) -> None:
    shop.publish(Deb("app", "1", fields={"Depends": "tool-lib | lib, mail-agent"}), Deb("lib", "1"),
                 Deb("mta", "1", fields={"Provides": "mail-agent", "Installed-Size": "90000"}))  # fmt: skip
    shop.tools(
        Deb("tool-lib", "2"), Deb("sneaky", "9", fields={"Provides": "mail-agent", "Priority": "required"})
    )
    assert shop.lock_with(["app"]) == ["app=1", "lib=1", "mta=1"]


def test_a_smaller_solution_does_not_take_more_from_an_extra_archive(shop: Shop) -> None:
    shop.publish(
        Deb("one", fields={"Depends": "xx | shared"}),
        Deb("two", fields={"Depends": "yy | shared"}),
        Deb("xx"),
        Deb("yy"),
    )
    shop.tools(Deb("shared"))
    assert shop.lock_with(["one", "two"]) == ["one=1.0", "two=1.0", "xx=1.0", "yy=1.0"]
    shop.lock_path.unlink()
    assert shop.lock_with(["one", "two"], priority=500) == ["one=1.0", "shared=1.0", "two=1.0"]


def test_lock_prints_what_two_archives_offer_and_which_won(shop: Shop) -> None:
    shop.tools(Deb("app", "2", fields={"Depends": "lib"}), Deb("lib", "3"), Deb("alone", "1"))
    assert shop.lock_with(["app", "alone"]) == ["alone=1", "app=2", "lib=1"]
    assert shop.progress.notes[:2] == [
        "app 2 from tools; also offered by debian (1)",
        "lib 1 from debian; also offered by tools (3)",
    ]
    assert shop.progress.warnings == []


def test_an_older_lock_keeps_what_it_pins(shop: Shop) -> None:
    shop.tools(Deb("lib", "3"), Deb("dash", "9"), Deb("other", "1"))
    listed = ["lib", "dash", "other"]
    assert shop.lock_with(["app", "dash"], packages=listed) == ["app=1", "dash=9", "lib=3"]
    # Now the archive has no more to say about these, but nobody has asked for an upgrade.
    assert shop.lock_with(["app", "dash", "other"]) == ["app=1", "dash=9", "lib=3", "other=1"]


TOOL = (Deb("tool", "1", fields={"Depends": "lib"}), Deb("tool", "2", architecture="arm64"))


@pytest.mark.parametrize(("suite", "folder"), [("/", ""), ("./", ""), ("deb/", "deb/"), ("./a/b/", "a/b/")])
@pytest.mark.parametrize("signing", ["inline", "detached"])
def test_a_flat_archive_is_used(shop: Shop, suite: str, folder: str, signing: Any) -> None:
    archive.publish_flat(shop.root / "tools", folder, *TOOL, signing=signing)
    assert shop.lock_with(["tool"], suite=suite) == ["lib=1", "tool=1"]
    pinned = shop.lock().packages["amd64"][1]
    assert (pinned.archive, pinned.suite) == ("tools", suite.removeprefix("./") or "/")
    assert pinned.path == f"{folder}tool_1_amd64.deb"
    with shop.connection() as connection:
        assert connection.fetch_package(pinned, shop.lock()) == f"sha256:{pinned.sha256}"


@pytest.mark.parametrize("signing", ["none", "no release"])
def test_an_unsigned_flat_archive_must_be_trusted_by_the_recipe(shop: Shop, signing: Any) -> None:
    archive.publish_flat(shop.root / "tools", "", *TOOL, signing=signing)
    with pytest.raises((TrustError, FetchError)):
        shop.lock_with(["tool"], suite="/")
    assert shop.lock_with(["tool"], suite="/", key="", trusted=True) == ["lib=1", "tool=1"]
    archive.publish_flat(shop.root / "tools", "", Deb("tool", "3"), signing=signing)
    shop.lock_path.unlink()
    assert shop.lock_with(["tool"], suite="/", key="", trusted=True) == ["tool=3"]


def test_a_flat_archive_has_no_components(shop: Shop) -> None:
    with pytest.raises(RecipeError, match="has no components"):
        shop.lock_with(["tool"], suite="/", components=["main"])


def test_a_pinned_version_is_not_kept_by_another_archive_that_has_its_number(shop: Shop) -> None:
    """After a security update, somebody else's package of the old version is not the pinned one."""
    shop.tools(Deb("other", "1"))
    assert shop.lock_with(["app", "dash"]) == ["app=1", "dash=1", "lib=1"]
    shop.publish(
        Deb("app", "1", fields={"Depends": "lib"}), Deb("lib", "2"), Deb("dash", "2", fields=ESSENTIAL)
    )
    stranger = {"Description": "something else"}
    shop.tools(Deb("other", "1"), Deb("lib", "1", fields=stranger), Deb("dash", "1", fields=stranger))
    assert shop.lock_with(["app", "dash", "other"]) == ["app=1", "dash=2", "lib=2", "other=1"]


def test_only_the_packages_and_priority_of_an_archive_make_a_lock_stale(shop: Shop) -> None:
    shop.tools(Deb("lib", "3"))
    assert shop.lock_with(["app"]) == ["app=1", "lib=1"]
    before = shop.lock_path.read_bytes()
    shop.lock_with(["app"])
    assert shop.lock_path.read_bytes() == before
    shop.lock_with(["app"], priority=600)
    assert shop.lock_path.read_bytes() != before
