from __future__ import annotations

import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice import files
from pumice.clock import FixedClock
from pumice.errors import StoreError
from pumice.progress import Silent
from pumice.store import garbage_collection
from pumice.store.directory_blobs import DirectoryBlobs
from pumice.store.home import Home, locate
from tests.support.store_workload import put

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.progress import Task


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PUMICE_HOME": "/p", "XDG_DATA_HOME": "/x", "HOME": "/h"}, "/p"),
        ({"PUMICE_HOME": "", "XDG_DATA_HOME": "/x", "HOME": "/h"}, "/x/pumice"),
        ({"XDG_DATA_HOME": "relative", "HOME": "/h"}, "/h/.local/share/pumice"),
        ({"XDG_DATA_HOME": "", "HOME": "/h"}, "/h/.local/share/pumice"),
    ],
)
def test_where_the_store_is(environ: dict[str, str], expected: str) -> None:
    assert locate(environ) == Path(expected)


def test_a_relative_place_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate({"PUMICE_HOME": "here"}) == tmp_path / "here"


def test_a_store_can_be_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Home(Path("store")) as home:
        home.directory("networks")
    assert (tmp_path / "store/networks").is_dir()


def test_without_any_home_there_is_a_hint() -> None:
    with pytest.raises(StoreError) as caught:
        locate({})
    assert str(caught.value) == "there is no home directory to keep the store in\n  hint: set PUMICE_HOME"


def test_opening_touches_nothing_until_use(tmp_path: Path) -> None:
    home = Home(tmp_path / "a" / "store")
    assert home.root == tmp_path / "a" / "store"
    assert not (tmp_path / "a").exists()


def test_the_layout_is_as_documented(tmp_path: Path) -> None:
    with Home(tmp_path / "a" / "store") as home:
        put(home.blobs, b"content")
        assert sorted(path.name for path in home.root.iterdir()) == [
            "blobs",
            "composed",
            "locks",
            "records",
            "refs",
            "tmp",
            "trust",
            "version",
        ]
        assert (home.root / "version").read_text() == "1\n"
        assert stat.S_IMODE(home.root.stat().st_mode) == 0o700


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("2\n")
    with pytest.raises(StoreError) as caught:
        Home(tmp_path).directory("tmp")
    assert str(caught.value) == (
        f"{tmp_path}: the store has layout 2, and this version of Pumice supports layout 1\n"
        "  hint: use a newer Pumice, or set PUMICE_HOME to another directory"
    )


@pytest.mark.parametrize("content", [b"", b"x", b"\xff\xfe", b"1" * 5000, "²".encode(), b"-1"])
def test_a_spoiled_version_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "version").write_bytes(content)
    with pytest.raises(StoreError):
        Home(tmp_path).directory("tmp")


def test_directory_with_other_content_is_rejected_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(StoreError, match=r"is not a store of Pumice: it contains 'thesis.tex'"):
        Home(tmp_path).directory("tmp")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_file_in_place_of_a_directory_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "store"):
        with pytest.raises(StoreError) as caught:
            Home(path).directory("tmp")
        assert caught.value.where


def test_processes_may_create_it_at_once(tmp_path: Path) -> None:
    """One that finds it half made finishes it; one that finds it made in the meantime uses it."""
    for name in ("blobs", "tmp"):
        (tmp_path / "store" / name).mkdir(parents=True)
    with Home(tmp_path / "store") as home:
        put(home.blobs, b"a")
    second = Home(tmp_path / "store")
    second._create()
    assert (tmp_path / "store" / "version").read_text() == "1\n"


class InterruptedFileSystem(files.OsFileSystem):
    """Calls ``meanwhile`` once, right before a file gets a name that ends in ``name``."""

    def __init__(self, name: str, meanwhile: Callable[[], None]) -> None:
        self._name = name
        self._meanwhile: Callable[[], None] | None = meanwhile

    def rename(self, source: str, target: str) -> None:
        if target.endswith(self._name) and self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()
        super().rename(source, target)


@pytest.mark.concurrency
def test_collection_does_not_touch_a_store_that_is_being_created(tmp_path: Path) -> None:
    """It waits, because whoever creates a store holds the collection lock already."""
    root = tmp_path / "store"
    events: list[str] = []
    is_waiting = threading.Event()

    def collect() -> None:
        class Waiting(Silent):
            def note(self, message: str) -> None:
                events.append(message)
                is_waiting.set()

        with Home(root, progress=Waiting()) as other_home:
            garbage_collection.collect(other_home, FixedClock(0), keep_days=None)
        events.append("collected")

    collector = threading.Thread(target=collect)

    def start_collecting() -> None:
        collector.start()
        assert is_waiting.wait(60)
        events.append("created")

    with Home(root, InterruptedFileSystem("/version", start_collecting)) as home:
        put(home.blobs, b"content")
    collector.join()
    assert events == ["waiting for other pumice commands to finish", "created", "collected"]
    assert (root / "version").read_text() == "1\n"


def test_a_damaged_blob_that_another_process_replaced_stays(tmp_path: Path) -> None:
    """Between finding the damage and removing it, the sound content may have come back."""
    root = tmp_path / "store"
    with Home(root) as home:
        digest = put(home.blobs, b"content")
        path = root / "blobs" / "sha256" / digest[7:]

        class RepairedOnReading(DirectoryBlobs):
            """Hashes the damaged file; then, before it does anything about it, the file is replaced."""

            damaged = True

            def _verify_file(self, name: str) -> int | None:
                size = super()._verify_file(name)
                if self.damaged:
                    self.damaged = False
                    put(home.blobs, b"content")
                return size

        spoil(path)
        assert RepairedOnReading(str(root)).size(digest) == len(b"content")
        spoil(path)
        blobs = RepairedOnReading(str(root))
        assert not blobs.verify(digest)
        blobs.delete_unless_intact(digest)
        assert path.read_bytes() == b"content"


def spoil(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(b"damaged")


def test_directories_for_others_are_made_on_demand(tmp_path: Path) -> None:
    with Home(tmp_path / "store") as home:
        assert home.directory("trees") == tmp_path / "store" / "trees"
        assert home.directory("trees").is_dir()
        for name in ("", "..", "a/b", "/etc", "A", ".x", "-x", "x" * 65):
            with pytest.raises(ValueError, match="not a name for a directory"):
                home.directory(name)


@pytest.mark.concurrency
def test_a_lock_excludes_threads_of_one_and_of_two_homes(tmp_path: Path) -> None:
    homes = [Home(tmp_path / "store") for _ in range(2)]
    inside = 0
    most = 0

    def work(home: Home) -> None:
        nonlocal inside, most
        for _ in range(30):
            with home.lock("some-thing"):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work, args=(home,)) for home in homes for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    for name in ("", "gc", "a/b", "..", "x" * 101):
        with pytest.raises(ValueError, match="not a name for a lock"), homes[0].lock(name):
            pass


@pytest.mark.concurrency
def test_exclusive_lock_waits_for_other_users_of_the_store(tmp_path: Path) -> None:
    other_home = Home(tmp_path / "store")
    put(other_home.blobs, b"in use")

    class Leaves:
        """Another command, which ends when somebody waits for it."""

        def __init__(self) -> None:
            self.notes: list[str] = []

        def task(self, label: str, total: int | None = None, *, unit: str = "bytes") -> Task:
            raise AssertionError

        def warn(self, message: str) -> None:
            raise AssertionError(message)

        def note(self, message: str) -> None:
            self.notes.append(message)
            other_home.close()

    leaves = Leaves()
    with Home(tmp_path / "store", progress=leaves) as home, home.lock_exclusively():
        assert leaves.notes == ["waiting for other pumice commands to finish"]


def test_a_closed_home_can_be_used_again(tmp_path: Path) -> None:
    home = Home(tmp_path / "store")
    digest = put(home.blobs, b"content")
    home.close()
    home.close()
    assert home.blobs.size(digest) == 7
    home.close()
