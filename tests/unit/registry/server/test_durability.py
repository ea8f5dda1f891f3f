"""A registry keeps what it acknowledged through power failures, kills and full disks."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.errors import StoreError
from pumice.registry.server.storage.disk.storage import DiskFull, open_storage
from tests.support import crashes, registrywork
from tests.support.registrywork import push_blob, push_manifest, verify, work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.files import NewFile
    from tests.support.storework import Promise


@pytest.fixture
def fast_path(tmp_path: Path) -> Iterator[Path]:
    """Return a folder in memory where there is such a thing: for thousands of small files."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="pumice-test-", dir=memory) as place:
        yield Path(place)


def test_every_power_failure_leaves_what_was_acknowledged(fast_path: Path) -> None:
    recorder = registrywork.Recorder(fast_path / "real")
    (fast_path / "real").mkdir()
    with open_storage(fast_path / "real" / "registry", recorder) as storage:
        work(storage, recorder.promise)
        final: Promise = {}
        for operation in recorder.log:
            final |= operation.promise or {}
        verify(storage, final)
    seen = 0
    for end, last in enumerate(recorder.log, 1):
        if last.kind == "write" or any(len(allowed) > 1 for allowed in (last.promise or {}).values()):
            continue  # nothing more than before can be lost, and nothing more is promised
        place = fast_path / "states"
        place.mkdir()
        for left, promised in crashes.states(recorder.log[:end], place, end):
            (left / "registry").mkdir(exist_ok=True)
            with open_storage(left / "registry", registrywork.Careless()) as storage:
                verify(storage, promised)
            seen += 1
        shutil.rmtree(place)
    assert seen > 1000


def test_every_kill_leaves_what_was_acknowledged(fast_path: Path) -> None:
    assert registrywork.kill_everywhere(fast_path) > 100


@pytest.mark.parametrize("stays", [False, True])
def test_a_full_disk_is_an_error_once_and_no_damage(fast_path: Path, stays: bool) -> None:
    """Each operation finds no space once: one sentence, nothing half there, and trying again works."""
    for at in range(1, 1000, 3 if stays else 1):
        root = fast_path / str(at)
        promised: Promise = {}
        disk = registrywork.Full(at, stays=stays)
        try:
            storage = open_storage(root, disk)
        except DiskFull:
            storage = open_storage(root, registrywork.Careless())
        with storage:
            try:
                work(storage, promised.update)
            except DiskFull as error:
                assert error.message == (
                    "cannot access the storage of the registry: no space left on the device"
                )
            verify(storage, promised)
            assert not any((root / "tmp").iterdir())
            disk.at = 1 << 40
            work(storage, promised.update)
            verify(storage, promised)
        if disk.done < at:
            return
    pytest.fail("the work never ends")


def test_a_push_of_a_small_image_takes_few_fsyncs(tmp_path: Path) -> None:
    """Each answer needs its own; sharing folders keeps the rest away."""
    recorder = registrywork.Recorder(tmp_path)

    def syncs() -> int:
        return sum(operation.kind in ("sync", "sync_directory") for operation in recorder.log)

    def push(salt: str) -> None:
        config, layer = b"config" + salt.encode(), b"layer" + salt.encode()
        push_blob(storage, "team/app", config)
        push_blob(storage, "team/app", layer)
        push_manifest(storage, "team/app", registrywork.image(config, layer), "latest")

    with open_storage(tmp_path / "registry", recorder) as storage:
        before = syncs()
        push("one")
        first = syncs() - before
        # Two blobs: file, folder, link each. The manifest: file, folder; the tag: file, folder.
        needed = 2 * 3 + 2 + 2
        assert first <= needed + 10
        for number in range(256):  # every folder of contents exists at last
            storage.blobs._folders.need(f"{storage.root}/blobs/sha256/{number:02x}")
        before = syncs()
        push("two")
        assert syncs() - before == needed


def test_a_failed_fsync_is_never_asked_twice(tmp_path: Path) -> None:
    """The system forgets what it could not write, so a second fsync would promise what is not there."""

    class Failing(registrywork.Careless):
        failing = False

        def extend(self, path: str) -> NewFile:
            file = super().extend(path)
            return _FailingFile(file) if self.failing else file

    disk = Failing()
    with open_storage(tmp_path / "registry", disk) as storage:
        disk.failing = True
        with pytest.raises(StoreError):
            push_blob(storage, "a", b"content")
        disk.failing = False
        assert not any((tmp_path / "registry/repositories/a/_uploads").iterdir())
        digest = push_blob(storage, "a", b"content")
        assert storage.blob("a", digest) is not None


class _FailingFile:
    def __init__(self, file: NewFile) -> None:
        self.write = file.write
        self.close = file.close

    def sync(self) -> None:
        raise OSError(5, "Input/output error")
