from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pumice.assembly import locking
from pumice.errors import FetchError, FormatError, LockError, PumiceError, ResolveError, UsageError
from pumice.recipe import lock as locks
from pumice.recipe.lock import Ids, Lock
from tests.support.deb import Deb
from tests.support.mirror import Mirror
from tests.support.recording_progress import RecordingProgress
from tests.support.workshop import Workshop

APP = Deb("app", "1.0", fields={"Depends": "lib (>= 1), data"})
LIB = Deb("lib", "1.0", fields={"Source": "libs"})
LIB_EXTRA = Deb("lib-extra", "1.0", fields={"Source": "libs", "Depends": "lib (= 1.0)"})
DATA = Deb("data", "2.0", architecture="all")
NEW_LIB = Deb("lib", "1.1", fields={"Source": "libs"})
NEW_EXTRA = Deb("lib-extra", "1.1", fields={"Source": "libs", "Depends": "lib (= 1.1)"})
NEW_DATA = Deb("data", "2.1", architecture="all")
OTHER = Deb("other", "1.0", fields={"Depends": "data"})
ARM = [Deb("app", "1.0", architecture="arm64", fields={"Depends": "data"})]
OLD = [APP, LIB, LIB_EXTRA, DATA, OTHER, *ARM]
BOTH = [*OLD, NEW_LIB, NEW_EXTRA, NEW_DATA]


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    made = Workshop(tmp_path)
    made.publish(*OLD)
    made.write(["app"])
    return made


def ensure(
    shop: Workshop,
    *archs: str,
    locked: bool = False,
    upgrade: frozenset[str] | None = None,
    offline: bool = False,
) -> Lock:
    shop.progress = RecordingProgress()
    with shop.connection(offline=offline) as connection:
        return locking.ensure_lock(
            shop.recipe(),
            shop.lock_path,
            connection,
            architectures=archs or ("amd64",),
            progress=shop.progress,
            locked=locked,
            upgrade=upgrade,
        )


def test_a_lock_is_written_once_and_then_used(shop: Workshop) -> None:
    first = ensure(shop)
    assert shop.pins() == ["app=1.0", "data=2.0", "lib=1.0"]
    assert shop.progress.notes == [f"wrote {shop.lock_path}: 3 packages pinned (amd64)"]
    assert [index.suite for index in first.indexes] == ["bookworm"]
    assert first.packages["amd64"][2].source == "libs"
    before = shop.lock_path.read_bytes()
    shop.publish(*BOTH)
    assert ensure(shop) == first
    assert ensure(shop, locked=True) == first
    assert shop.lock_path.read_bytes() == before
    assert shop.progress.notes == []


def test_a_current_lock_needs_neither_mirror_nor_resolver(shop: Workshop) -> None:
    ensure(shop)
    program = f"""
import os, sys
from pathlib import Path
from pumice.assembly import locking
from pumice.assembly.connection import ArchiveConnection
from pumice.progress import Silent
from pumice.recipe.load import load_recipe
from pumice.store.home import Home, locate
recipe = load_recipe({str(shop.recipe_path)!r})
with Home(locate(os.environ)) as home, ArchiveConnection(
    recipe, home, os.environ, offline=True, progress=Silent()
) as connection:
    locking.ensure_lock(
        recipe, Path({str(shop.lock_path)!r}), connection, architectures=("amd64",), progress=Silent()
    )
ours = "pumice.resolve", "pumice.fetch", "pumice.distro"
modules = [name for name in sys.modules if name.startswith(ours)]
print(*sorted(modules))
print("urllib3" in sys.modules, "pysequoia" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "\nFalse False\n"


def test_a_changed_recipe_keeps_the_other_pins(shop: Workshop) -> None:
    ensure(shop)
    shop.publish(*BOTH)
    shop.write(["other", "app"])
    ensure(shop)
    assert shop.pins() == ["app=1.0", "data=2.0", "lib=1.0", "other=1.0"]
    assert shop.progress.notes == [f"recipe changed; updated {shop.lock_path} (+1)"]
    shop.write(["other"])
    ensure(shop)
    assert shop.pins() == ["data=2.0", "other=1.0"]


def test_keys_that_do_not_concern_packages_keep_the_lock(shop: Workshop) -> None:
    first = ensure(shop)
    shop.write(["app"], environment={"A": "b"}, version="2")
    assert ensure(shop, locked=True) == first


def test_a_pin_missing_from_the_archive_moves_and_is_reported(shop: Workshop) -> None:
    ensure(shop)
    shop.publish(APP, NEW_LIB, NEW_DATA, OTHER)
    shop.write(["app", "other"])
    ensure(shop)
    assert shop.pins() == ["app=1.0", "data=2.1", "lib=1.1", "other=1.0"]
    assert shop.progress.notes == [f"recipe changed; updated {shop.lock_path} (+1, 2 upgraded)"]


def test_upgrade_of_all_and_of_named_packages(shop: Workshop) -> None:
    shop.write(["app", "lib-extra"])
    ensure(shop)
    shop.publish(*BOTH)
    ensure(shop, upgrade=frozenset({"lib"}))
    assert shop.pins() == ["app=1.0", "data=2.0", "lib=1.1", "lib-extra=1.1"], "with its source's siblings"
    assert shop.progress.notes == [f"updated {shop.lock_path} (2 upgraded)"]
    ensure(shop, upgrade=locking.UPGRADE_ALL)
    assert shop.pins() == ["app=1.0", "data=2.1", "lib=1.1", "lib-extra=1.1"]
    ensure(shop, upgrade=locking.UPGRADE_ALL)
    assert shop.progress.notes == [f"{shop.lock_path} is up to date: 4 packages pinned (amd64)"]
    with pytest.raises(UsageError) as caught:
        ensure(shop, upgrade=frozenset({"libb"}))
    assert (
        str(caught.value)
        == "cannot upgrade 'libb': the lock has no such package\n  hint: did you mean 'lib'?"
    )
    with pytest.raises(UsageError, match="cannot use --locked with --upgrade"):
        ensure(shop, locked=True, upgrade=locking.UPGRADE_ALL)


def test_an_upgrade_without_changes_does_not_write_the_lock(shop: Workshop) -> None:
    ensure(shop)
    before = shop.lock_path.read_bytes()
    shop.publish(*OLD)
    ensure(shop, upgrade=locking.UPGRADE_ALL)
    assert shop.lock_path.read_bytes() == before


def test_a_lock_keeps_its_format_until_everything_is_upgraded(shop: Workshop) -> None:
    ensure(shop)
    assert shop.lock().format == 2, "a new lock has the newest"
    shop.lock_path.write_bytes(shop.lock_path.read_bytes().replace(b'"format": 2', b'"format": 1'))
    shop.write(["app", "other"])
    ensure(shop)
    ensure(shop, upgrade=frozenset({"lib"}))
    assert shop.lock().format == 1
    with shop.connection() as connection:
        changes = locking.preview_upgrade(
            shop.recipe(), shop.lock_path, connection, architectures=("amd64",), progress=shop.progress
        )
    assert [str(change) for change in changes] == ["format 1 -> 2"]
    ensure(shop, upgrade=locking.UPGRADE_ALL)
    assert shop.lock().format == 2
    assert shop.progress.notes == [f"updated {shop.lock_path} (new format)"]


def test_check_shows_old_and_new_and_writes_nothing(shop: Workshop) -> None:
    ensure(shop)
    before = shop.lock_path.read_bytes()

    def check(*names: str) -> list[str]:
        with shop.connection() as connection:
            found = locking.preview_upgrade(
                shop.recipe(),
                shop.lock_path,
                connection,
                architectures=("amd64",),
                progress=shop.progress,
                upgrade=frozenset(names),
            )
        return [str(change) for change in found]

    assert check() == []
    shop.publish(*BOTH)
    assert check() == ["data 2.0 -> 2.1 (amd64)", "lib 1.0 -> 1.1 (amd64)"]
    assert check("data") == ["data 2.0 -> 2.1 (amd64)"]
    assert shop.lock_path.read_bytes() == before


def test_locked_rejects_a_missing_or_stale_lock(shop: Workshop) -> None:
    with pytest.raises(LockError, match="the lock does not exist"):
        ensure(shop, locked=True)
    ensure(shop)
    with pytest.raises(LockError, match="stale: no packages for arm64 yet"):
        ensure(shop, "amd64", "arm64", locked=True)
    shop.write(["other"])
    with pytest.raises(LockError) as caught:
        ensure(shop, locked=True)
    assert caught.value.message == "the lock is stale: recipe changed"
    assert caught.value.where == str(shop.lock_path)
    assert caught.value.hint == f"run 'pumice lock {shop.recipe_path}' and commit the lock"


def test_architectures_are_added_without_touching_the_others(shop: Workshop) -> None:
    first = ensure(shop)
    shop.publish(*BOTH)
    both = ensure(shop, "arm64")
    assert both.packages["amd64"] == first.packages["amd64"]
    assert shop.pins("arm64") == ["app=1.0", "data=2.0"], "versions go along with the other architecture"
    assert len(both.indexes) == 2, "both that were consulted"
    shop.write(["app", "data"])
    ensure(shop)
    assert list(shop.lock().packages) == ["amd64", "arm64"]
    shop.write(["app"], archs=["arm64"])
    ensure(shop, "arm64")
    assert list(shop.lock().packages) == ["arm64"]
    with pytest.raises(PumiceError, match="no packages for armhf"):
        ensure(shop, "armhf")


def test_the_same_change_on_two_architectures_is_reported_once(shop: Workshop) -> None:
    shop.write(["data"])
    ensure(shop, "amd64", "arm64")
    shop.publish(*BOTH)
    ensure(shop, "amd64", "arm64", upgrade=locking.UPGRADE_ALL)
    assert shop.progress.notes == [f"updated {shop.lock_path} (1 upgraded)"]


def test_locking_again_keeps_ids(shop: Workshop) -> None:
    first = ensure(shop)
    ids = Ids({"app": 100}, {"app": 101})
    shop.lock_path.write_bytes(
        locks.encode_lock(Lock(requirements=first.requirements, packages=first.packages, ids=ids))
    )
    shop.write(["app", "other"])
    assert ensure(shop).ids == ids
    assert ensure(shop, upgrade=locking.UPGRADE_ALL).ids == ids


def test_local_packages_are_hashed_and_followed(shop: Workshop) -> None:
    file = shop.root / "mine.deb"
    file.write_bytes(Deb("mine", "0.1", fields={"Depends": "lib"}).build())
    shop.write(["./mine.deb"])
    first = ensure(shop)
    mine = first.packages["amd64"][1]
    assert (mine.name, mine.role, mine.path, mine.archive) == ("mine", "local", "mine.deb", "")
    assert (mine.size, shop.pins()) == (file.stat().st_size, ["lib=1.0", "mine=0.1"])
    file.write_bytes(Deb("mine", "0.1", fields={"Depends": "data"}).build())
    with pytest.raises(LockError, match=r"stale: the local package mine\.deb has changed"):
        ensure(shop, locked=True)
    ensure(shop)
    assert shop.pins() == ["data=2.0", "mine=0.1"]
    assert shop.progress.notes == [
        f"the local package mine.deb has changed; updated {shop.lock_path} (+1, -1, 1 with different content)"
    ]
    file.unlink()
    ensure(shop, locked=True)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", FormatError, "the file is not an ar archive"),
        (None, FetchError, "cannot read the local package x.deb: no such file or directory"),
        (
            Deb("mine", architecture="arm64").build(),
            ResolveError,
            r"x\.deb is a package for arm64, not for amd64",
        ),
        (Deb("Mine!").build(), FormatError, "the name of a package is malformed"),
        (Deb("mine", "1 2").build(), FormatError, "the version of a package is malformed"),
        (
            Deb("mine", architecture="no arch").build(),
            FormatError,
            "the architecture of a package is missing or",
        ),
        (
            Deb("mine", fields={"Source": "a b c"}).build(),
            FormatError,
            "the source of a package is malformed",
        ),
        (Deb("mine", fields={"Depends": "a b"}).build(), FormatError, "'a b' is not a relationship"),
    ],
)
def test_bad_local_packages(
    shop: Workshop, content: bytes | None, error: type[PumiceError], message: str
) -> None:
    if content is not None:
        (shop.root / "x.deb").write_bytes(content)
    shop.write(["./x.deb"])
    with pytest.raises(error, match=message):
        ensure(shop)
    assert not shop.lock_path.exists()


def test_a_malformed_package_is_reported_with_the_location_in_it(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = Deb("odd", fields={"Strange field": "x"})
    (shop.root / "x.deb").write_bytes(odd.build())
    shop.write(["./x.deb"])
    with pytest.raises(FormatError) as caught:
        ensure(shop)
    assert re.fullmatch(rf"{shop.root}/x\.deb: control:[0-9]+", caught.value.where or "")
    shop.publish(*OLD, Deb("odd"))
    shop.write(["odd"])
    ensure(shop)
    pool = shop.root / "mirror" / shop.lock().packages["amd64"][0].path
    pool.write_bytes(odd.build())
    text = shop.lock_path.read_text()
    pin = shop.lock().packages["amd64"][0]
    text = text.replace(pin.sha256, hashlib.sha256(odd.build()).hexdigest())
    shop.lock_path.write_text(text.replace(f'"size":{pin.size}', f'"size":{len(odd.build())}'))
    done = shop.run(
        capsys, "build", "--locked", "--progress", "none", str(shop.recipe_path), "-o", "tar:out.tar"
    )
    assert re.search(r"odd=1\.0: control:[0-9]+: expected a line of the form", done.err)


@pytest.mark.parametrize("size", ["12.5", "12 kB", "0012", "unknown", "-3"])
def test_installed_sizes_are_read_like_apt_does(shop: Workshop, size: str) -> None:
    (shop.root / "x.deb").write_bytes(Deb("mine", fields={"Installed-Size": size}).build())
    shop.write(["./x.deb"])
    ensure(shop)
    assert shop.pins() == ["mine=1.0"]


def test_one_package_from_two_files_is_rejected(shop: Workshop) -> None:
    for name in ("x.deb", "y.deb"):
        (shop.root / name).write_bytes(Deb("mine", "1.0").build())
    shop.write(["./x.deb", "./y.deb"])
    with pytest.raises(ResolveError, match=r"x\.deb and y\.deb are both the package mine"):
        ensure(shop)


def test_base_data_is_in_the_lock_with_its_role(shop: Workshop) -> None:
    files = Deb("base-files", "12", fields={"Essential": "yes", "Pre-Depends": "awk"})
    shop.publish(*OLD, files, Deb("base-passwd", "3", fields={"Essential": "yes"}))
    shop.write(["data"], base="data")
    lock = ensure(shop)
    roles = [(package.name, package.role) for package in lock.packages["amd64"]]
    assert roles == [("base-files", "base-data"), ("base-passwd", "base-data"), ("data", "package")]


def test_the_order_of_packages_does_not_matter(shop: Workshop) -> None:
    shop.write(["app", "other"])
    ensure(shop)
    first = shop.lock_path.read_bytes()
    shop.lock_path.unlink()
    shop.write(["other", "app"])
    ensure(shop)
    assert shop.lock_path.read_bytes() == first


def test_a_failure_leaves_the_lock_as_it_was(shop: Workshop) -> None:
    ensure(shop)
    before = shop.lock_path.read_bytes()
    shop.write(["app", "gone"])
    with pytest.raises(ResolveError) as caught:
        ensure(shop)
    assert caught.value.message == "cannot find package 'gone'"
    assert caught.value.where == f"{shop.recipe_path}:{caught.value.where.split(':')[-2]}:5"  # type: ignore[union-attr]  # it has a location
    assert shop.lock_path.read_bytes() == before
    shop.lock_path.write_bytes(before[:-20])
    with pytest.raises(LockError):
        ensure(shop)
    assert shop.lock_path.read_bytes() == before[:-20], "a damaged lock may be somebody's merge conflict"
    assert sorted(path.name for path in shop.root.iterdir()) == [
        "keyring.asc",
        "mirror",
        "recipe.lock",
        "recipe.yaml",
    ]


def test_offline_locks_from_cached_indexes(shop: Workshop) -> None:
    with Mirror(shop.root / "mirror") as mirror:
        shop.url = mirror.url
        shop.write(["app"])
        with pytest.raises(FetchError):
            ensure(shop, offline=True)
        first = ensure(shop)
    shop.lock_path.unlink()
    assert ensure(shop, offline=True) == first


def test_names_of_locks_and_architectures(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locking.lock_path(Path("a/recipe.yaml")) == Path("a/recipe.lock")
    assert locking.lock_path(Path("web.app.yml")) == Path("web.app.lock")
    assert locking.lock_path(Path("web.app")) == Path("web.app.lock")
    recipe = shop.recipe()
    machine = os.uname_result(("Linux", "host", "6", "1", "aarch64"))
    monkeypatch.setattr(os, "uname", lambda: machine)
    assert locking.choose_architectures(recipe) == ("arm64",)
    assert locking.choose_architectures(recipe, ["s390x", "s390x"]) == ("s390x",)
    shop.write(["app"], archs=["amd64", "arm64"])
    assert locking.choose_architectures(shop.recipe()) == ("amd64", "arm64")


def test_other_arguments_make_a_lock_stale_and_keep_its_packages(shop: Workshop) -> None:
    first = ensure(shop)
    shop.write(["app"], args={"VERSION": "1.2"}, version="${VERSION}")
    second = ensure(shop, offline=True)  # nothing is resolved again
    assert (second.args, second.packages) == ({"VERSION": "1.2"}, first.packages)
    assert shop.progress.notes[0] == (
        f"recipe arguments changed: VERSION 1.2 added; updated {shop.lock_path} (no package changed)"
    )
    shop.write(["app"], args={"VERSION": "1.3"}, version="${VERSION}")
    with pytest.raises(LockError) as caught:
        ensure(shop, locked=True)
    assert caught.value.message == "the lock is stale: recipe arguments changed: VERSION 1.2 -> 1.3"
    assert caught.value.hint == (
        f"pass --arg as for the lock, or run 'pumice lock {shop.recipe_path}' with the same --arg "
        "and commit the lock"
    )
    assert ensure(shop, offline=True).args == {"VERSION": "1.3"}
    assert shop.lock().args == {"VERSION": "1.3"}
