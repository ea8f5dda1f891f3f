"""The storage on disk keeps acknowledged changes through power failures, kills and full disks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.errors import StoreError
from pumice.registry.server.storage.disk.storage import open_storage
from pumice.registry.server.storage.protocol import StorageFullError
from tests.support import crashes, registry_workload
from tests.support.registry_workload import push_blob, push_manifest, verify, work

if TYPE_CHECKING:
    from pumice.files import NewFile
    from tests.support.store_workload import Promise


def test_acknowledged_changes_survive_every_power_failure(fast_path: Path) -> None:
    recorder = registry_workload.RecordingDisk(fast_path / "real")
    (fast_path / "real").mkdir()
    with open_storage(fast_path / "real" / "registry", recorder) as storage:
        work(storage, recorder.promise)
        final: Promise = {}
        for operation in recorder.log:
            final |= operation.promise or {}
        verify(storage, final)
    verified = 0
    for end, last in enumerate(recorder.log, 1):
        if last.kind == "write" or any(len(allowed) > 1 for allowed in (last.promise or {}).values()):
            continue  # nothing more can be lost than before, and nothing more is promised
        states = fast_path / "states"
        states.mkdir()
        for state, promised in crashes.states(recorder.log[:end], states, end):
            (state / "registry").mkdir(exist_ok=True)
            with open_storage(state / "registry", registry_workload.UnsyncedDisk()) as storage:
                verify(storage, promised)
            verified += 1
        shutil.rmtree(states)
    assert verified > 1000


def test_acknowledged_changes_survive_every_kill(fast_path: Path) -> None:
    assert registry_workload.kill_everywhere(fast_path) > 100


@pytest.mark.parametrize("stays", [False, True])
def test_a_full_disk_is_an_error_and_causes_no_damage(fast_path: Path, stays: bool) -> None:
    """Each operation finds no space once: nothing is stored in part, and trying again works."""
    for at in range(1, 1000, 3 if stays else 1):
        root = fast_path / str(at)
        promised: Promise = {}
        disk = registry_workload.FullDisk(at, stays=stays)
        try:
            storage = open_storage(root, disk)
        except StorageFullError:
            storage = open_storage(root, registry_workload.UnsyncedDisk())
        with storage:
            try:
                work(storage, promised.update)
            except StorageFullError as error:
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
    pytest.fail("the workload does not end")


def test_a_push_of_a_small_image_takes_few_fsyncs(tmp_path: Path) -> None:
    """Each response needs fsyncs of its own; shared directories need no further ones."""
    recorder = registry_workload.RecordingDisk(tmp_path)

    def syncs() -> int:
        return sum(operation.kind in ("sync", "sync_directory") for operation in recorder.log)

    def push(salt: str) -> None:
        config, layer = b"config" + salt.encode(), b"layer" + salt.encode()
        push_blob(storage, "team/app", config)
        push_blob(storage, "team/app", layer)
        push_manifest(storage, "team/app", registry_workload.image(config, layer), "latest")

    with open_storage(tmp_path / "registry", recorder) as storage:
        before = syncs()
        push("one")
        first = syncs() - before
        # Two blobs: file, directory and link each. The manifest and the tag: file and directory each.
        needed = 2 * 3 + 2 + 2
        assert first <= needed + 10
        for number in range(256):  # create all directories of contents
            storage._uploads._directories.ensure(f"{storage.root}/blobs/sha256/{number:02x}")
        before = syncs()
        push("two")
        assert syncs() - before == needed


def test_a_failed_fsync_is_not_repeated(tmp_path: Path) -> None:
    """The kernel forgets what it could not write, so a second fsync would succeed without the data."""

    class Failing(registry_workload.UnsyncedDisk):
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
        assert storage.blobs.find("a", digest) is not None


class _FailingFile:
    def __init__(self, file: NewFile) -> None:
        self.write = file.write
        self.close = file.close

    def sync(self) -> None:
        raise OSError(5, "Input/output error")
