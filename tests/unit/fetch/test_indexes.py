"""Indexes from hostile, outdated and failing mirrors are only accepted with a valid signature."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from pumice import digest
from pumice.clock import FixedClock
from pumice.distro.debian.apt_setup import AptSetup
from pumice.distro.debian.sources import KeyringFile, Mirror, Source
from pumice.errors import FetchError, FormatError, PumiceError, StoreError, TrustError
from pumice.fetch import indexes
from pumice.fetch.session import Session
from pumice.formats import aptindex
from pumice.store.home import Home
from tests.support import archive, mirror
from tests.support.archive import EPOCH, Deb, Signing, Suite
from tests.support.mirror import Fault
from tests.support.recording_progress import RecordingProgress

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = 86_400
SUITE = Suite("bookworm", [Deb("hello", fields={"Provides": "greeting"}), Deb("data", architecture="all")])
GOOD = KeyringFile("test keys", archive.keyring("good"))


class World:
    """A mirror, a store, and a date."""

    def __init__(self, root: Path, server: mirror.Mirror, home: Home) -> None:
        self.root = root
        self.server = server
        self.home = home
        self.progress = RecordingProgress()
        self.today = EPOCH + DAY

    def publish(self, *suites: Suite) -> None:
        shutil.rmtree(self.root / "dists", ignore_errors=True)
        archive.publish(self.root, *(suites or (SUITE,)))

    def source(self, **changes: object) -> Source:
        basic = Source(
            archive="debian", suite="bookworm", components=("main",),
            mirrors=(Mirror(self.server.url, (GOOD,)),), origin="Debian", release_names=("bookworm",),
        )  # fmt: skip
        return msgspec.structs.replace(basic, **changes)

    def load(
        self, *sources: Source, arch: tuple[str, ...] = ("amd64",), offline: bool = False
    ) -> indexes.Indexes:
        clock = FixedClock(self.today)
        with Session(
            self.home, progress=self.progress, clock=clock, offline=offline, environ={}, sleep=lambda _: None
        ) as session:
            return indexes.load_indexes(sources or (self.source(),), arch, session)

    def fails(
        self, *sources: Source, offline: bool = False, arch: tuple[str, ...] = ("amd64",)
    ) -> PumiceError:
        with pytest.raises(PumiceError) as caught:
            self.load(*sources, offline=offline, arch=arch)
        assert not isinstance(caught.value, StoreError)
        return caught.value

    def cached_files(self, kind: str) -> list[str]:
        return sorted(path.name for path in self.home.directory("indexes").glob(f"{kind}*"))


OTHER = KeyringFile("other keys", archive.keyring("other"))
EXPIRED = KeyringFile("old keys", archive.keyring("expired"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    root = tmp_path / "mirror"
    root.mkdir()
    with mirror.Mirror(root) as server, Home(tmp_path / "home") as home:
        world = World(root, server, home)
        world.publish()
        yield world


def names(loaded_indexes: indexes.Indexes, arch: str = "amd64") -> list[str]:
    return list(loaded_indexes.universe(arch).names())


def test_loading_returns_a_universe_and_the_locked_indexes(world: World) -> None:
    world.publish(replace(SUITE, valid_until=EPOCH + 7 * DAY))
    loaded_indexes = world.load()
    assert names(loaded_indexes) == ["data", "hello"]
    (record,) = loaded_indexes.universe("amd64").versions("hello")
    assert record.suite == "debian/bookworm"
    assert [provider.name for provider in loaded_indexes.universe("amd64").providers("greeting")] == ["hello"]
    (locked,) = loaded_indexes.locked
    assert (locked.archive, locked.suite, locked.codename, locked.origin) == (
        "debian",
        "bookworm",
        "bookworm",
        "Debian",
    )
    assert (locked.date, locked.valid_until) == (EPOCH, EPOCH + 7 * DAY)
    assert locked.digest == digest.of((world.root / "dists/bookworm/InRelease").read_bytes())
    assert locked.signers == ("B8A9EF63C56A3BB3D0E7713B2E99162619536278",)
    assert locked.keyring == digest.of(GOOD.data)


def test_a_package_that_only_another_suite_has_is_found_there(world: World) -> None:
    world.load()
    world.publish(replace(SUITE, name="trixie", codename="trixie", packages={"main": [Deb("new")]}))
    world.load(world.source(suite="trixie", release_names=("trixie",)))
    world.publish()
    universe = world.load().universe("amd64")
    assert universe.other_suites("new") == ["trixie"]
    assert universe.other_suites("hello") == []
    assert universe.other_suites("valkey-server") == ["trixie"]


def test_several_architectures_and_components_are_loaded(world: World) -> None:
    arm = Deb("only-arm", architecture="arm64")
    world.publish(replace(SUITE, packages={"main": [Deb("hello"), arm], "contrib": [Deb("extra")]}))
    loaded_indexes = world.load(world.source(components=("main", "contrib")), arch=("amd64", "arm64"))
    assert names(loaded_indexes) == ["extra", "hello"]
    assert names(loaded_indexes, "arm64") == ["only-arm"]


def test_only_the_necessary_files_are_downloaded(world: World) -> None:
    world.load()
    paths = world.server.paths
    assert len(paths) == 2
    assert paths[0] == "/dists/bookworm/InRelease"
    assert paths[1].startswith("/dists/bookworm/main/binary-amd64/by-hash/SHA256/")


def test_a_second_load_sends_one_request_and_parses_nothing(world: World) -> None:
    world.load()
    world.server.heal()
    assert names(world.load()) == ["data", "hello"]
    assert [(request.path, request.status) for request in world.server.requests] == [
        ("/dists/bookworm/InRelease", 304)
    ]


def test_offline_uses_the_cache(world: World) -> None:
    world.load()
    world.server.heal()
    assert names(world.load(offline=True)) == ["data", "hello"]
    assert world.server.requests == []


def test_offline_with_an_empty_cache_is_an_error(world: World) -> None:
    error = world.fails(offline=True)
    assert isinstance(error, FetchError)
    assert error.message == "the index is not cached, and --offline does not allow downloading it"
    assert error.where == f"{world.server.url}/dists/bookworm"


def test_offline_checks_the_expiry_date(world: World) -> None:
    world.publish(replace(SUITE, valid_until=EPOCH + 2 * DAY))
    world.load()
    world.today = EPOCH + 3 * DAY
    assert "expired on" in world.fails(offline=True).message


def test_a_mirror_can_be_a_directory(world: World) -> None:
    source = world.source(mirrors=(Mirror(world.root.as_uri(), (GOOD,)),))
    assert names(world.load(source, offline=True)) == ["data", "hello"]


@pytest.mark.parametrize("signing", ["inline", "both", "detached"])
def test_a_detached_signature_is_used_without_inrelease(signing: Signing, world: World) -> None:
    world.publish(replace(SUITE, signing=signing))
    assert names(world.load()) == ["data", "hello"]
    assert names(world.load()) == ["data", "hello"]


@pytest.mark.parametrize("hashes", [("SHA256",), ("SHA512",), ("MD5Sum", "SHA1", "SHA256", "SHA512")])
@pytest.mark.parametrize("by_hash", [True, False])
@pytest.mark.parametrize("compressions", [("", ".gz", ".xz"), (".gz",), (".xz",), ("",)])
def test_every_layout_of_an_archive_is_loaded(
    hashes: tuple[str, ...], by_hash: bool, compressions: tuple[str, ...], world: World
) -> None:
    world.publish(replace(SUITE, hashes=hashes, by_hash=by_hash, compressions=compressions))
    assert names(world.load()) == ["data", "hello"]


def test_a_separate_index_of_architecture_independent_packages_is_loaded(world: World) -> None:
    world.publish(replace(SUITE, architectures=("all", "amd64")))
    assert names(world.load()) == ["data", "hello"]


# Trust


@pytest.mark.parametrize(
    ("suite", "sentence"),
    [
        (replace(SUITE, signing="none"), "the suite is not signed"),
        (replace(SUITE, signer="other"), "which is not in the keyring"),
        (replace(SUITE, signer="other", signing="detached"), "which is not in the keyring"),
        (replace(SUITE, origin="Ubuntu"), "its signed Release says Origin 'Ubuntu' and not Debian"),
        (replace(SUITE, codename="trixie", suite="testing"),
         "its signed Release is of 'trixie' and not of bookworm"),
        (replace(SUITE, valid_until=EPOCH + 3600), "the index expired on 2023-11-14 23:13 UTC"),
        (replace(SUITE, date=EPOCH + 9 * DAY),
         "the index is of 2023-11-23 22:13 UTC, which is in the future"),
    ],
)  # fmt: skip
def test_an_untrusted_release_is_refused(suite: Suite, sentence: str, world: World) -> None:
    world.publish(suite)
    error = world.fails()
    assert isinstance(error, TrustError)
    assert sentence in error.message
    assert error.where == f"{world.server.url}/dists/bookworm"
    assert error.hint
    assert world.cached_files("") == []


@pytest.mark.parametrize("name", ["expired", "lapsed", "revoked"])
def test_expired_and_revoked_keys_are_refused(name: str, world: World) -> None:
    world.publish(replace(SUITE, signer=name))
    source = world.source(mirrors=(Mirror(world.server.url, (KeyringFile("ring", archive.keyring(name)),)),))
    error = world.fails(source)
    assert isinstance(error, TrustError)
    assert "revoked" in error.message or "expired" in error.message


def test_a_suite_can_be_named_by_its_codename(world: World) -> None:
    world.publish(replace(SUITE, name="stable", suite="stable", codename="bookworm"))
    assert names(world.load(world.source(suite="stable", release_names=("stable",)))) == ["data", "hello"]


def test_any_of_several_keyrings_may_verify_the_release(world: World) -> None:
    ring = (KeyringFile("others", archive.keyring("other")), KeyringFile("rubbish", b"rubbish"), GOOD)
    loaded_indexes = world.load(world.source(mirrors=(Mirror(world.server.url, ring),)))
    assert loaded_indexes.locked[0].keyring == digest.of(GOOD.data)


@pytest.mark.parametrize("offline", [False, True])
def test_an_index_is_valid_until_its_exact_expiry_time(world: World, offline: bool) -> None:
    world.publish(replace(SUITE, valid_until=EPOCH + 2 * DAY))
    world.load()
    world.today = EPOCH + 2 * DAY
    assert names(world.load(offline=offline)) == ["data", "hello"]
    world.today += 1
    error = world.fails(offline=offline)
    assert isinstance(error, TrustError)
    assert error.message == "the index expired on 2023-11-16 22:13 UTC"


def test_valid_until_is_checked_unless_apt_disables_it(world: World) -> None:
    world.publish(replace(SUITE, valid_until=EPOCH + 3600))
    assert "expired on" in world.fails().message
    lenient = world.source(mirrors=(Mirror(world.server.url, (GOOD,), check_valid_until=False),))
    assert names(world.load(lenient)) == ["data", "hello"]


def test_an_unsigned_archive_is_accepted_only_if_the_recipe_trusts_it(world: World) -> None:
    world.publish(replace(SUITE, signing="none"))
    error = world.fails(world.source(mirrors=(Mirror(world.server.url, (GOOD,), is_trusted_by_apt=True),)))
    assert "[trusted=yes] is not honored" in (error.hint or "")
    trusted = world.source(mirrors=(Mirror(world.server.url),), trusted=True, origin="", release_names=())
    loaded_indexes = world.load(trusted)
    assert names(loaded_indexes) == ["data", "hello"]
    assert loaded_indexes.locked[0].signers == ()
    world.publish(SUITE)
    assert names(world.load(trusted)) == ["data", "hello"]


def test_a_trusted_archive_with_a_key_is_verified_with_it(world: World) -> None:
    world.publish(replace(SUITE, signer="other"))
    assert isinstance(world.fails(world.source(trusted=True)), TrustError)


def test_an_index_with_another_digest_is_refused(world: World) -> None:
    world.server.add_fault("binary-amd64", Fault(corrupt=True))
    error = world.fails()
    assert isinstance(error, TrustError)
    assert "the sha256 digest in the signed Release" in str(error)
    assert world.cached_files("packages") == []


def test_a_tampered_inrelease_is_refused(world: World) -> None:
    data = (world.root / "dists/bookworm/InRelease").read_bytes()
    for body in (
        data.replace(b"amd64", b"amd46"),
        b"Origin: Debian\n" + data,
        data + b"\n\nmore",
        b"<html>",
        b"",
    ):
        world.server.heal()
        world.server.add_fault("InRelease", Fault(body=body))
        assert isinstance(world.fails(), TrustError)


def test_a_captive_portal_is_not_accepted_as_an_archive(world: World) -> None:
    world.server.add_fault("/", Fault(body=b"<html>please log in</html>"))
    assert isinstance(world.fails(), TrustError)


# Time


def test_an_older_index_is_ignored_while_the_cached_one_is_valid(world: World) -> None:
    newer = replace(SUITE, packages=[Deb("newer")], date=EPOCH + 3600)
    world.publish(newer)
    world.load()
    world.publish(SUITE)
    assert names(world.load()) == ["newer"]
    (note,) = world.progress.notes
    assert (
        "offers an index of 2023-11-14 22:13 UTC, older than the cached one of 2023-11-14 23:13 UTC" in note
    )
    assert "using the cached one" in note
    world.publish(replace(newer, packages=[Deb("newest")], date=EPOCH + 7200))
    assert names(world.load()) == ["newest"]


def test_a_rollback_is_an_error_after_the_cached_index_expired(world: World) -> None:
    world.publish(replace(SUITE, date=EPOCH + 3600, valid_until=EPOCH + 2 * DAY))
    world.load()
    world.publish(replace(SUITE, date=EPOCH, valid_until=EPOCH + 9 * DAY))
    world.today = EPOCH + 3 * DAY
    error = world.fails()
    assert isinstance(error, TrustError)
    assert "is no longer valid" in error.message


def test_another_mirror_may_be_older(world: World, tmp_path: Path) -> None:
    archive.publish(tmp_path / "lagging", replace(SUITE, packages=[Deb("older")], date=EPOCH - DAY))
    world.load()
    with mirror.Mirror(tmp_path / "lagging") as lagging:
        loaded_indexes = world.load(world.source(mirrors=(Mirror(lagging.url, (GOOD,)),)))
    assert names(loaded_indexes) == ["older"]


# Mirrors


def test_the_next_mirror_is_tried(world: World, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with mirror.Mirror(tmp_path / "empty") as empty:
        urls = ("http://127.0.0.1:1", empty.url, world.server.url)
        loaded_indexes = world.load(world.source(mirrors=tuple(Mirror(url, (GOOD,)) for url in urls)))
    assert names(loaded_indexes) == ["data", "hello"]
    assert len(world.progress.notes) == 2


def test_an_untrusted_mirror_is_skipped(world: World, tmp_path: Path) -> None:
    archive.publish(tmp_path / "evil", replace(SUITE, signer="other", packages=[Deb("evil")]))
    with mirror.Mirror(tmp_path / "evil") as evil:
        loaded_indexes = world.load(
            world.source(mirrors=(Mirror(evil.url, (GOOD,)), Mirror(world.server.url, (GOOD,))))
        )
    assert names(loaded_indexes) == ["data", "hello"]


def test_the_error_names_every_failed_mirror(world: World) -> None:
    error = world.fails(
        world.source(mirrors=(Mirror("http://127.0.0.1:1", (GOOD,)), Mirror("http://127.0.0.1:2", (GOOD,))))
    )
    assert isinstance(error, FetchError)
    assert error.message == "cannot use any of the 2 mirrors of debian/bookworm"
    assert "http://127.0.0.1:1/" in (error.hint or "")
    assert "http://127.0.0.1:2/" in (error.hint or "")


def test_an_index_may_come_from_another_mirror_than_its_release(world: World, tmp_path: Path) -> None:
    archive.publish(tmp_path / "half", SUITE)
    shutil.rmtree(tmp_path / "half/dists/bookworm/main")
    with mirror.Mirror(tmp_path / "half") as half_mirror:
        loaded_indexes = world.load(
            world.source(mirrors=(Mirror(half_mirror.url, (GOOD,)), Mirror(world.server.url, (GOOD,))))
        )
    assert names(loaded_indexes) == ["data", "hello"]


def test_a_missing_by_hash_file_is_requested_by_name(world: World) -> None:
    shutil.rmtree(world.root / "dists/bookworm/main/binary-amd64/by-hash")
    assert names(world.load()) == ["data", "hello"]


def test_an_interrupted_download_is_resumed(world: World) -> None:
    world.server.add_fault("InRelease", Fault(truncate=100, times=1))
    world.server.add_fault("by-hash", Fault(truncate=100, times=1))
    assert names(world.load()) == ["data", "hello"]


def test_without_a_mirror_the_error_has_a_hint(world: World) -> None:
    assert world.fails(world.source(mirrors=())).message == "no Debian mirror is configured for bookworm"


def test_a_malformed_apt_setting_is_reported(world: World) -> None:
    clock, apt_setup = FixedClock(world.today), AptSetup(problems=("x.list:1: it is broken",))
    with Session(world.home, progress=world.progress, clock=clock, machine=apt_setup, environ={}) as session:
        indexes.load_indexes((world.source(),), ("amd64",), session)
    assert world.progress.warnings == ["ignoring a part of apt's configuration: x.list:1: it is broken"]


def test_a_missing_suite_is_an_error(world: World) -> None:
    error = world.fails(world.source(suite="bookwrom", release_names=("bookwrom",)))
    assert isinstance(error, FetchError)
    assert error.message == "the mirror does not have this suite"
    assert error.where == f"{world.server.url}/dists/bookwrom"


def test_an_optional_suite_may_be_missing_with_a_warning(world: World) -> None:
    security = world.source(archive="debian-security", suite="bookworm-security", optional=True)
    for optional_source in (security, msgspec.structs.replace(security, mirrors=())):
        world.progress.warnings.clear()
        loaded_indexes = world.load(world.source(), optional_source)
        assert len(loaded_indexes.locked) == 1
        assert world.progress.warnings == [
            (
                "the mirrors do not have bookworm-security: the image gets no packages from it,"
                " including security updates"
            )
        ]


def test_a_cached_optional_suite_that_vanishes_is_an_error(world: World) -> None:
    world.publish(SUITE, replace(SUITE, name="bookworm-updates"))
    updates = world.source(suite="bookworm-updates", release_names=("bookworm-updates",), optional=True)
    world.load(updates)
    shutil.rmtree(world.root / "dists/bookworm-updates")
    assert world.fails(updates).message == "the mirror no longer has this suite"


def test_an_untrusted_optional_suite_is_an_error(world: World) -> None:
    world.publish(replace(SUITE, signer="other"))
    assert isinstance(world.fails(world.source(optional=True)), TrustError)


@pytest.mark.parametrize(
    ("changes", "arch", "sentence"),
    [
        (
            {"components": ("main", "nonsense")},
            "amd64",
            "debian/bookworm has no component nonsense for amd64",
        ),
        ({}, "s390x", "debian/bookworm has no packages for s390x"),
    ],
)
def test_a_missing_component_or_architecture_is_an_error(
    changes: dict[str, object], arch: str, sentence: str, world: World
) -> None:
    error = world.fails(world.source(**changes), arch=(arch,))
    assert isinstance(error, FetchError)
    assert error.message == sentence


# Snapshots


def test_a_snapshot_is_tried_last_and_may_be_expired(world: World, tmp_path: Path) -> None:
    old_suite = replace(SUITE, packages=[Deb("older")], valid_until=EPOCH + 60)
    archive.publish(tmp_path / "snapshots/debian/20231115T221320Z", old_suite)
    with mirror.Mirror(tmp_path / "snapshots") as server:
        snapshots = (Mirror(f"{server.url}/{{archive}}/{{date}}", (GOOD,), check_valid_until=False),)
        assert names(world.load(world.source(snapshots=snapshots))) == ["data", "hello"]
        assert server.requests == []
        down = (Mirror("http://127.0.0.1:1", (GOOD,)),)
        assert names(world.load(world.source(mirrors=down, snapshots=snapshots))) == ["older"]
        assert server.paths[0] == "/debian/20231115T221320Z/dists/bookworm/InRelease"


# What is kept


def test_a_modified_cached_index_is_downloaded_again(world: World) -> None:
    world.load()
    (name,) = world.cached_files("packages")
    path = world.home.directory("indexes") / name
    path.write_bytes(path.read_bytes().replace(b"hello", b"evil!"))
    assert names(world.load()) == ["data", "hello"]


@pytest.mark.parametrize("kind", ["packages", "names", "release"])
@pytest.mark.parametrize("damage", [b"", b"\0" * 100, b"x" * 10000])
def test_a_damaged_cache_is_repaired(kind: str, damage: bytes, world: World) -> None:
    world.load()
    for name in world.cached_files(kind):
        (world.home.directory("indexes") / name).write_bytes(damage)
    assert names(world.load()) == ["data", "hello"]
    assert names(world.load(offline=True)) == ["data", "hello"]


def test_an_index_cached_before_a_reboot_is_hashed_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.load()
    monkeypatch.setattr("pumice.fetch.index_cache._read_boot_stamp", lambda: b"b" * 16)
    assert names(world.load(offline=True)) == ["data", "hello"]
    monkeypatch.setattr("pumice.fetch.index_cache._read_boot_stamp", lambda: b"c" * 16)
    (name,) = world.cached_files("packages")
    path = world.home.directory("indexes") / name
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    assert isinstance(world.fails(offline=True), FetchError)


def replace_names(table: aptindex.NameTable) -> aptindex.NameTable:
    return msgspec.structs.replace(table, names=table.names[:0])


def test_a_table_of_another_code_version_is_rebuilt_offline(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = aptindex.scan_index
    with monkeypatch.context() as patches:
        patches.setattr("pumice.fetch.index_cache._compute_code_stamp", lambda: b"o" * 16)
        patches.setattr(aptindex, "scan_index", lambda data: replace_names(scan(data)))
        assert names(world.load()) == []
    assert names(world.load(offline=True)) == ["data", "hello"]


def test_unlisted_indexes_are_removed(world: World) -> None:
    world.load()
    old_files = world.cached_files("packages")
    world.publish(replace(SUITE, packages=[Deb("other")], date=EPOCH + 60))
    world.load()
    new_files = world.cached_files("packages")
    assert len(new_files) == 1
    assert new_files != old_files
    world.load(arch=("arm64",))
    assert len(world.cached_files("packages")) == 2
    assert names(world.load(offline=True)) == ["other"]


# Hostile contents, although they are signed


def test_an_index_that_expands_beyond_its_size_is_refused(world: World) -> None:
    import gzip

    bomb = gzip.compress(bytes(50_000_000))
    path = world.root / "dists/bookworm"
    release = (path / "Release").read_text()
    listed_digest = digest.of(bomb)[7:]
    text = "\n".join(
        f" {listed_digest} {len(bomb)} main/binary-amd64/Packages.gz"
        if line.endswith("binary-amd64/Packages.gz")
        else line
        for line in release.splitlines()
    )
    (path / "InRelease").write_bytes(archive.sign(text.encode()))
    (path / "main/binary-amd64/Packages.gz").write_bytes(bomb)
    (path / "main/binary-amd64/Packages.xz").unlink()
    (path / "main/binary-amd64/Packages").unlink()
    shutil.rmtree(path / "main/binary-amd64/by-hash")
    error = world.fails()
    assert "expands to more than the allowed size" in str(error) or isinstance(error, FormatError)


def test_a_package_path_outside_the_mirror_is_refused(world: World) -> None:
    world.publish(
        replace(SUITE, packages=[Deb("hello", fields={"Multi-Arch": "no\nFilename: ../../etc/passwd"})])
    )
    loaded_indexes = world.load()
    with pytest.raises(FormatError):
        loaded_indexes.universe("amd64").versions("hello")


@pytest.mark.parametrize(
    ("ahead", "sentence"),
    [
        (-2 * DAY, "which is in the future"),  # the machine's clock is behind
        (-DAY - 1, "which is in the future"),
        (-DAY, ""),  # a day is nobody's fault: clocks and time zones differ
        (0, ""),
        (7 * DAY, ""),
        (7 * DAY + 1, "the index expired"),  # or it is ahead
        (20 * 365 * DAY, "the index expired"),
    ],
)
def test_valid_until_with_the_clock_ahead_and_behind(world: World, ahead: int, sentence: str) -> None:
    world.publish(replace(SUITE, valid_until=EPOCH + 7 * DAY))
    world.today = EPOCH + ahead
    if sentence:
        error = world.fails()
        assert isinstance(error, TrustError)
        assert sentence in error.message
    else:
        assert names(world.load()) == ["data", "hello"]


@pytest.mark.parametrize("keys", [(OTHER, EXPIRED), (EXPIRED, OTHER)])
def test_the_error_comes_from_the_keyring_with_the_signing_key(
    keys: tuple[KeyringFile, ...], world: World
) -> None:
    world.publish(replace(SUITE, signer="expired"))
    error = world.fails(world.source(mirrors=(Mirror(world.server.url, keys),)))
    assert isinstance(error, TrustError)
    assert "expired" in error.message
    assert "not in the keyring" not in error.message


def test_an_unreadable_keyring_is_named_if_no_other_verifies(world: World) -> None:
    world.publish()
    lost = ("/etc/keys.gpg: cannot read the keyring: Permission denied",)
    error = world.fails(world.source(mirrors=(Mirror(world.server.url, (OTHER,), unreadable_keyrings=lost),)))
    assert (error.hint or "").startswith(lost[0])
    world.load(world.source(mirrors=(Mirror(world.server.url, (OTHER, GOOD), unreadable_keyrings=lost),)))
