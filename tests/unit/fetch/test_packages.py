"""Locked packages are fetched into the store from any source, and nothing else is."""

from __future__ import annotations

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pumice.clock import FixedClock
from pumice.distro.debian.sources import Mirror, Source
from pumice.errors import FetchError, FormatError, LockError, PumiceError, TrustError
from pumice.fetch import packages
from pumice.fetch.session import Session
from pumice.recipe.lock import LockedPackage
from pumice.store.home import Home
from tests.support import mirror
from tests.support.archive import EPOCH, Deb
from tests.support.mirror import Fault
from tests.support.recording_progress import RecordingProgress

if TYPE_CHECKING:
    from collections.abc import Iterator

DEB = Deb("hello", "2.10-3", compression="none")
DATA = DEB.build()
HELLO = LockedPackage(
    name="hello",
    version="2.10-3",
    architecture="amd64",
    archive="debian",
    suite="bookworm",
    path=DEB.pool_path(),
    size=len(DATA),
    sha256=hashlib.sha256(DATA).hexdigest(),
    sha512=hashlib.sha512(DATA).hexdigest(),
)
DIGEST = f"sha256:{HELLO.sha256}"


class World:
    """A mirror with one package, and a store."""

    def __init__(self, root: Path, server: mirror.Mirror, home: Home) -> None:
        self.root = root
        self.server = server
        self.home = home
        self.told = RecordingProgress()
        self.pool = root / "mirror" / HELLO.path

    def source(self, *urls: str, snapshots: tuple[str, ...] = (), suite: str = "bookworm") -> Source:
        return Source(
            "debian", suite, ("main",), tuple(Mirror(url) for url in urls or (self.server.url,)),
            tuple(Mirror(url) for url in snapshots),
        )  # fmt: skip

    def fetch(
        self,
        package: LockedPackage = HELLO,
        *sources: Source,
        offline: bool = False,
        bundle: Path | None = None,
        date: int = 0,
    ) -> str:
        clock = FixedClock(EPOCH)
        with Session(
            self.home, progress=self.told, clock=clock, offline=offline, environ={}, sleep=lambda _: None
        ) as session:
            return packages.fetch_package(
                package, sources or (self.source(),), session, recipe_dir=self.root, bundle=bundle, date=date
            )

    def fails(self, package: LockedPackage = HELLO, *sources: Source, **options: Any) -> PumiceError:
        with pytest.raises(PumiceError) as caught:
            self.fetch(package, *sources, **options)
        assert list(self.home.blobs.digests()) == []
        assert list((self.home.root / "tmp").iterdir()) == []
        return caught.value


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    path = tmp_path / "mirror" / HELLO.path
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    with mirror.Mirror(tmp_path / "mirror") as server, Home(tmp_path / "home") as home:
        yield World(tmp_path, server, home)


def change_package(**fields: object) -> LockedPackage:
    return msgspec.structs.replace(HELLO, **fields)


def test_a_package_becomes_a_blob(world: World) -> None:
    assert world.fetch() == DIGEST
    with world.home.blobs.open(DIGEST) as file:
        assert file.read() == DATA
    assert world.told.tasks == [("hello 2.10-3", len(DATA))]


def test_a_package_in_the_store_is_not_downloaded(world: World) -> None:
    world.fetch()
    world.server.heal()
    assert world.fetch(offline=True) == DIGEST
    assert world.server.requests == []


def test_paths_with_special_characters_are_escaped(world: World) -> None:
    odd = Deb("libstdc++6", "1:2.0~rc1+b1", compression="none")
    data = odd.build()
    path = world.root / "mirror" / odd.pool_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    locked = change_package(
        name=odd.name, version=odd.version, path=odd.pool_path(), size=len(data),
        sha256=hashlib.sha256(data).hexdigest(), sha512="",
    )  # fmt: skip
    assert world.fetch(locked) == f"sha256:{locked.sha256}"


def test_a_lock_with_only_sha512_is_verified(world: World) -> None:
    assert world.fetch(change_package(sha256="")) == DIGEST
    world.server.heal()
    world.home.blobs.delete(DIGEST)
    assert isinstance(world.fails(change_package(sha256="", sha512="f" * 128)), TrustError)
    assert isinstance(world.fails(change_package(sha256="", sha512="")), TrustError)


@pytest.mark.parametrize("fault", [Fault(corrupt=True), Fault(body=b"<html>" + DATA[6:])])
def test_content_with_another_digest_is_refused(fault: Fault, world: World) -> None:
    world.server.add_fault("hello", fault)
    error = world.fails()
    assert isinstance(error, TrustError)
    assert error.message == "the file is not the locked hello 2.10-3: the digest differs"
    assert error.where == f"{world.server.url}/{HELLO.path}"


@pytest.mark.parametrize("fault", [Fault(short=100), Fault(body=DATA + b"x")])
def test_content_with_another_size_is_refused(fault: Fault, world: World) -> None:
    world.server.add_fault("hello", fault)
    assert isinstance(world.fails(), FetchError | FormatError)


def test_a_wrong_sha512_is_refused_even_if_sha256_matches(world: World) -> None:
    assert isinstance(world.fails(change_package(sha512="0" * 128)), TrustError)


def test_an_interrupted_download_is_resumed_into_the_same_blob(world: World) -> None:
    world.server.add_fault("hello", Fault(truncate=700, times=1))
    assert world.fetch() == DIGEST
    assert world.server.requests[-1].status == 206


def test_a_file_that_changes_during_a_download_is_detected(world: World) -> None:
    world.server.add_fault("hello", Fault(body=bytes(len(DATA)), truncate=700, times=1))
    assert world.fetch() == DIGEST


def test_the_next_mirror_starts_from_the_beginning(world: World) -> None:
    bad_root = world.root / "bad"
    shutil.copytree(world.root / "mirror", bad_root)
    (bad_root / HELLO.path).write_bytes(bytes(len(DATA)))
    with mirror.Mirror(bad_root) as bad_mirror:
        assert (
            world.fetch(HELLO, world.source("http://127.0.0.1:1", bad_mirror.url, world.server.url)) == DIGEST
        )
    assert len(world.told.notes) == 2


def test_a_pool_is_shared_by_the_suites_of_an_archive(world: World) -> None:
    updates = world.source(suite="bookworm-updates")
    assert (
        world.fetch(change_package(suite="bookworm-updates"), world.source("http://127.0.0.1:1"), updates)
        == DIGEST
    )


def test_a_package_that_no_mirror_has_is_an_error(world: World) -> None:
    world.pool.unlink()
    error = world.fails()
    assert isinstance(error, FetchError)
    assert error.message == "the mirrors no longer have hello 2.10-3 (amd64)"
    assert "pumice lock --upgrade hello" in (error.hint or "")
    assert "snapshot mirror" in (error.hint or "")
    assert "bundle" in (error.hint or "")


@pytest.mark.parametrize("day", ["20231001T000000Z", "20231002T000000Z"])
def test_a_snapshot_has_packages_that_the_mirrors_dropped(day: str, world: World) -> None:
    past = world.root / "past" / day
    shutil.copytree(world.root / "mirror", past)
    world.pool.unlink()
    with mirror.Mirror(world.root / "past") as server:
        source = world.source(world.server.url, snapshots=(f"{server.url}/{{date}}",))
        assert world.fetch(HELLO, source, date=1696118400) == DIGEST


def test_offline_without_the_package_is_an_error(world: World) -> None:
    error = world.fails(offline=True)
    assert isinstance(error, FetchError)
    assert (
        error.message
        == "hello 2.10-3 (amd64) is not in the store, and --offline does not allow downloading it"
    )
    assert world.server.requests == []


def test_offline_reports_a_wrong_file_on_a_local_mirror(world: World) -> None:
    world.pool.write_bytes(b"x" * len(DATA))
    error = world.fails(HELLO, world.source((world.root / "mirror").as_uri(), world.server.url), offline=True)
    assert isinstance(error, TrustError)
    assert "the digest differs" in error.message


def test_offline_reports_an_unreadable_local_mirror(world: World) -> None:
    world.pool.unlink()
    world.pool.mkdir()
    error = world.fails(HELLO, world.source((world.root / "mirror").as_uri()), offline=True)
    assert error.message == "cannot read the file: Is a directory"


def test_a_file_mirror_works_offline(world: World) -> None:
    assert world.fetch(HELLO, world.source((world.root / "mirror").as_uri()), offline=True) == DIGEST


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "the mirror itself"])
def test_a_proxy_that_is_down_differs_from_one_that_refuses(proxy: str, world: World) -> None:
    is_down = proxy.startswith("http")
    url = proxy if is_down else world.server.url
    with (
        Session(world.home, environ={"https_proxy": url}, sleep=lambda _: None) as session,
        pytest.raises(FetchError) as caught,
    ):
        packages.fetch_package(
            HELLO, (world.source("https://mirror.example"),), session, recipe_dir=world.root
        )
    reason = (
        "cannot connect to the proxy"
        if is_down
        else "the proxy refused the request: Tunnel connection failed"
    )
    assert reason in caught.value.message


def test_a_mirror_that_is_down_is_reported_with_the_reason(world: World) -> None:
    error = world.fails(HELLO, world.source("http://127.0.0.1:1"))
    assert error.message == "the download failed: cannot connect"


def test_without_a_mirror_the_error_has_a_hint(world: World) -> None:
    nowhere = Source("debian", "bookworm", ("main",), ())
    assert world.fails(HELLO, nowhere).message == "no Debian mirror is configured for bookworm"
    world.fetch()
    bundle = world.root / "bundle"
    keep(world, HELLO, bundle)
    world.home.blobs.delete(DIGEST)
    assert world.fetch(HELLO, nowhere, offline=True, bundle=bundle) == DIGEST


def test_an_archive_that_is_not_in_the_recipe_is_a_stale_lock(world: World) -> None:
    assert isinstance(world.fails(change_package(archive="tool")), LockError)


@pytest.mark.parametrize("path", ["../x.deb", "/etc/passwd", "pool//x", "", "a/./b", "pool/\n"])
def test_a_locked_path_outside_the_mirror_is_refused(path: str, world: World) -> None:
    assert isinstance(world.fails(change_package(path=path)), FormatError)
    assert world.server.requests == []


@pytest.mark.concurrency
def test_packages_are_fetched_in_many_threads(world: World) -> None:
    clock = FixedClock(EPOCH)
    with Session(world.home, clock=clock, environ={}) as session, ThreadPoolExecutor(8) as pool:
        digests = pool.map(
            lambda _: packages.fetch_package(HELLO, (world.source(),), session, recipe_dir=world.root),
            range(16),
        )
        assert set(digests) == {DIGEST}


# Bundles


def keep(world: World, package: LockedPackage, bundle: Path) -> None:
    with Session(world.home, environ={}) as session:
        packages.copy_to_bundle(package, session, bundle)


def test_a_bundle_has_all_locked_packages(world: World) -> None:
    world.fetch()
    bundle = world.root / "bundle"
    keep(world, HELLO, bundle)
    bundled_file = bundle / "debian" / HELLO.path
    assert bundled_file.read_bytes() == DATA
    old_state = bundled_file.stat().st_mtime_ns
    keep(world, HELLO, bundle)
    assert bundled_file.stat().st_mtime_ns == old_state
    bundled_file.write_bytes(bytes(len(DATA)))
    keep(world, HELLO, bundle)
    assert bundled_file.read_bytes() == DATA
    world.home.blobs.delete(DIGEST)
    assert world.fetch(offline=True, bundle=bundle) == DIGEST


def test_a_damaged_bundle_is_skipped(world: World) -> None:
    bundled_file = world.root / "bundle/debian" / HELLO.path
    bundled_file.parent.mkdir(parents=True)
    for damage in (b"", bytes(len(DATA)), DATA + b"x"):
        bundled_file.write_bytes(damage)
        assert isinstance(world.fails(offline=True, bundle=world.root / "bundle"), TrustError)
    assert world.fetch(bundle=world.root / "bundle") == DIGEST


def test_a_missing_bundle_is_skipped(world: World) -> None:
    assert world.fetch(bundle=world.root / "none") == DIGEST


# Local packages


LOCAL = change_package(role="local", path="debs/hello.deb", archive="", suite="")


def test_a_local_package_is_read_from_the_directory_of_the_recipe(world: World) -> None:
    (world.root / "debs").mkdir()
    (world.root / "debs/hello.deb").write_bytes(DATA)
    assert world.fetch(LOCAL, offline=True) == DIGEST
    keep(world, LOCAL, world.root / "bundle")
    world.home.blobs.delete(DIGEST)
    (world.root / "debs/hello.deb").unlink()
    assert world.fetch(LOCAL, offline=True, bundle=world.root / "bundle") == DIGEST


def test_a_local_package_that_changed_is_a_stale_lock(world: World) -> None:
    (world.root / "debs").mkdir()
    (world.root / "debs/hello.deb").write_bytes(bytes(len(DATA)))
    error = world.fails(LOCAL)
    assert isinstance(error, LockError)
    assert "pumice lock --upgrade hello" in (error.hint or "")


def test_a_missing_local_package_is_an_error(world: World) -> None:
    assert world.fails(LOCAL).message == "the local package does not exist"
