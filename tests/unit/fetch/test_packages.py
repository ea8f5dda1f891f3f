"""What a lock names comes into the store from wherever it is, and nothing else does."""

from __future__ import annotations

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

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
from tests.support.telling import Telling

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
        self.told = Telling()
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

    def fails(self, package: LockedPackage = HELLO, *sources: Source, **options: object) -> PumiceError:
        with pytest.raises(PumiceError) as caught:
            self.fetch(package, *sources, **options)  # type: ignore[arg-type]
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


def changed(**fields: object) -> LockedPackage:
    return msgspec.structs.replace(HELLO, **fields)


def test_a_package_becomes_a_blob(world: World) -> None:
    assert world.fetch() == DIGEST
    with world.home.blobs.open(DIGEST) as file:
        assert file.read() == DATA
    assert world.told.tasks == [("hello 2.10-3", len(DATA))]


def test_what_is_in_the_store_is_not_fetched(world: World) -> None:
    world.fetch()
    world.server.heal()
    assert world.fetch(offline=True) == DIGEST
    assert world.server.requests == []


def test_names_with_odd_letters_are_found(world: World) -> None:
    odd = Deb("libstdc++6", "1:2.0~rc1+b1", compression="none")
    data = odd.build()
    path = world.root / "mirror" / odd.pool_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    locked = changed(
        name=odd.name, version=odd.version, path=odd.pool_path(), size=len(data),
        sha256=hashlib.sha256(data).hexdigest(), sha512="",
    )  # fmt: skip
    assert world.fetch(locked) == f"sha256:{locked.sha256}"


def test_sha512_alone_decides_where_the_lock_has_nothing_else(world: World) -> None:
    assert world.fetch(changed(sha256="")) == DIGEST
    world.server.heal()
    world.home.blobs.delete(DIGEST)
    assert isinstance(world.fails(changed(sha256="", sha512="f" * 128)), TrustError)
    assert isinstance(world.fails(changed(sha256="", sha512="")), TrustError)


@pytest.mark.parametrize("fault", [Fault(corrupt=True), Fault(body=b"<html>" + DATA[6:])])
def test_another_content_is_refused(fault: Fault, world: World) -> None:
    world.server.fault("hello", fault)
    error = world.fails()
    assert isinstance(error, TrustError)
    assert error.message == "the file is not the locked hello 2.10-3: the digest differs"
    assert error.where == f"{world.server.url}/{HELLO.path}"


@pytest.mark.parametrize("fault", [Fault(short=100), Fault(body=DATA + b"x")])
def test_another_size_is_refused(fault: Fault, world: World) -> None:
    world.server.fault("hello", fault)
    assert isinstance(world.fails(), FetchError | FormatError)


def test_a_wrong_sha512_is_refused_even_if_sha256_fits(world: World) -> None:
    assert isinstance(world.fails(changed(sha512="0" * 128)), TrustError)


def test_a_cut_download_is_resumed_into_the_same_blob(world: World) -> None:
    world.server.fault("hello", Fault(truncate=700, times=1))
    assert world.fetch() == DIGEST
    assert world.server.requests[-1].status == 206


def test_a_resumed_download_of_a_file_that_changed_is_noticed(world: World) -> None:
    world.server.fault("hello", Fault(body=bytes(len(DATA)), truncate=700, times=1))
    assert world.fetch() == DIGEST


def test_the_next_mirror_is_tried_with_a_clean_start(world: World) -> None:
    bad_root = world.root / "bad"
    shutil.copytree(world.root / "mirror", bad_root)
    (bad_root / HELLO.path).write_bytes(bytes(len(DATA)))
    with mirror.Mirror(bad_root) as bad:
        assert world.fetch(HELLO, world.source("http://127.0.0.1:1", bad.url, world.server.url)) == DIGEST
    assert len(world.told.notes) == 2


def test_a_pool_is_shared_by_the_suites_of_an_archive(world: World) -> None:
    updates = world.source(suite="bookworm-updates")
    assert (
        world.fetch(changed(suite="bookworm-updates"), world.source("http://127.0.0.1:1"), updates) == DIGEST
    )


def test_a_package_that_the_mirrors_dropped(world: World) -> None:
    world.pool.unlink()
    error = world.fails()
    assert isinstance(error, FetchError)
    assert error.message == "the mirrors no longer have hello 2.10-3 (amd64)"
    assert "pumice lock --upgrade hello" in (error.hint or "")
    assert "snapshot mirror" in (error.hint or "")
    assert "bundle" in (error.hint or "")


@pytest.mark.parametrize("day", ["20231001T000000Z", "20231002T000000Z"])
def test_a_snapshot_has_what_the_mirrors_dropped(day: str, world: World) -> None:
    past = world.root / "past" / day
    shutil.copytree(world.root / "mirror", past)
    world.pool.unlink()
    with mirror.Mirror(world.root / "past") as server:
        source = world.source(world.server.url, snapshots=(f"{server.url}/{{date}}",))
        assert world.fetch(HELLO, source, date=1696118400) == DIGEST


def test_offline_says_so(world: World) -> None:
    error = world.fails(offline=True)
    assert isinstance(error, FetchError)
    assert (
        error.message
        == "hello 2.10-3 (amd64) is not in the store, and --offline does not allow downloading it"
    )
    assert world.server.requests == []


def test_offline_does_not_hide_that_a_mirror_at_hand_has_another_file(world: World) -> None:
    world.pool.write_bytes(b"x" * len(DATA))
    error = world.fails(HELLO, world.source((world.root / "mirror").as_uri(), world.server.url), offline=True)
    assert isinstance(error, TrustError)
    assert "the digest differs" in error.message


def test_offline_does_not_hide_that_a_mirror_at_hand_cannot_be_read(world: World) -> None:
    world.pool.unlink()
    world.pool.mkdir()
    error = world.fails(HELLO, world.source((world.root / "mirror").as_uri()), offline=True)
    assert error.message == "cannot read the file: Is a directory"


def test_a_file_mirror_works_offline(world: World) -> None:
    assert world.fetch(HELLO, world.source((world.root / "mirror").as_uri()), offline=True) == DIGEST


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "the mirror itself"])
def test_a_proxy_that_is_down_is_told_from_one_that_refuses(proxy: str, world: World) -> None:
    is_down = proxy.startswith("http")
    url = proxy if is_down else world.server.url
    with (
        Session(world.home, environ={"https_proxy": url}, sleep=lambda _: None) as session,
        pytest.raises(FetchError) as caught,
    ):
        packages.fetch_package(
            HELLO, (world.source("https://mirror.example"),), session, recipe_dir=world.root
        )
    said = (
        "cannot connect to the proxy"
        if is_down
        else "the proxy refused the request: Tunnel connection failed"
    )
    assert said in caught.value.message


def test_a_mirror_that_is_down_says_why(world: World) -> None:
    error = world.fails(HELLO, world.source("http://127.0.0.1:1"))
    assert error.message == "the download failed: cannot connect"


def test_without_any_mirror_a_sentence_says_how_to_name_one(world: World) -> None:
    nowhere = Source("debian", "bookworm", ("main",), ())
    assert world.fails(HELLO, nowhere).message == "no Debian mirror is configured for bookworm"
    world.fetch()
    bundle = world.root / "bundle"
    keep(world, HELLO, bundle)
    world.home.blobs.delete(DIGEST)
    assert world.fetch(HELLO, nowhere, offline=True, bundle=bundle) == DIGEST


def test_an_archive_that_the_recipe_lost_is_a_stale_lock(world: World) -> None:
    assert isinstance(world.fails(changed(archive="tool")), LockError)


@pytest.mark.parametrize("path", ["../x.deb", "/etc/passwd", "pool//x", "", "a/./b", "pool/\n"])
def test_a_lock_cannot_lead_out_of_the_mirror(path: str, world: World) -> None:
    assert isinstance(world.fails(changed(path=path)), FormatError)
    assert world.server.requests == []


@pytest.mark.concurrency
def test_many_threads_fetch_at_once(world: World) -> None:
    clock = FixedClock(EPOCH)
    with Session(world.home, clock=clock, environ={}) as session, ThreadPoolExecutor(8) as pool:
        found = pool.map(
            lambda _: packages.fetch_package(HELLO, (world.source(),), session, recipe_dir=world.root),
            range(16),
        )
        assert set(found) == {DIGEST}


# Bundles


def keep(world: World, package: LockedPackage, bundle: Path) -> None:
    with Session(world.home, environ={}) as session:
        packages.copy_to_bundle(package, session, bundle)


def test_a_bundle_holds_what_a_lock_names(world: World) -> None:
    world.fetch()
    bundle = world.root / "bundle"
    keep(world, HELLO, bundle)
    kept = bundle / "debian" / HELLO.path
    assert kept.read_bytes() == DATA
    before = kept.stat().st_mtime_ns
    keep(world, HELLO, bundle)
    assert kept.stat().st_mtime_ns == before
    kept.write_bytes(bytes(len(DATA)))
    keep(world, HELLO, bundle)
    assert kept.read_bytes() == DATA
    world.home.blobs.delete(DIGEST)
    assert world.fetch(offline=True, bundle=bundle) == DIGEST


def test_a_damaged_bundle_is_passed_over(world: World) -> None:
    kept = world.root / "bundle/debian" / HELLO.path
    kept.parent.mkdir(parents=True)
    for damage in (b"", bytes(len(DATA)), DATA + b"x"):
        kept.write_bytes(damage)
        assert isinstance(world.fails(offline=True, bundle=world.root / "bundle"), TrustError)
    assert world.fetch(bundle=world.root / "bundle") == DIGEST


def test_a_bundle_that_is_not_there_is_passed_over(world: World) -> None:
    assert world.fetch(bundle=world.root / "none") == DIGEST


# Local packages


LOCAL = changed(role="local", path="debs/hello.deb", archive="", suite="")


def test_a_local_package_is_read_from_the_recipes_folder(world: World) -> None:
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


def test_a_local_package_that_is_gone(world: World) -> None:
    assert world.fails(LOCAL).message == "the local package does not exist"
