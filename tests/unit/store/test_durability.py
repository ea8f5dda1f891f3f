"""The store keeps its promises through power failures, kills, full disks and other processes."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from pumice.clock import FixedClock
from pumice.errors import StoreError
from pumice.store import garbage_collection
from pumice.store.home import Home
from tests.support import crashes, store_workload
from tests.support.docs import ROOT
from tests.support.peers import absent, need

if TYPE_CHECKING:
    from tests.support.crashes import Operation
    from tests.support.store_workload import Promise


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.store_workload", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


@pytest.fixture
def log(tmp_path: Path) -> list[Operation]:
    """Everything that one run of the work does to the disk."""
    recorder = crashes.RecordingFileSystem(tmp_path)
    with Home(tmp_path / "store", recorder) as home:
        store_workload.work(home, recorder.promise)
    return recorder.log


def test_blobs_are_durable_before_a_reference_names_them(log: list[Operation]) -> None:
    """Write, fsync the file, rename, fsync the directory; only then whatever points there."""
    blobs_by_file: dict[int, str] = {}
    file_at: dict[str, int] = {}
    unsafe: set[str] = set()
    references = 0
    for operation in log:
        if operation.kind == "create":
            file_at[operation.path] = operation.number
            blobs_by_file[operation.number] = "dirty"
        elif operation.kind == "write":
            blobs_by_file[operation.number] = "dirty"
        elif operation.kind == "sync":
            blobs_by_file[operation.number] = "safe"
        elif operation.kind == "sync_directory":
            unsafe = {path for path in unsafe if path.rpartition("/")[0] != operation.path}
        elif operation.kind == "rename":
            folder = operation.target.split("/")[1]
            if folder in ("blobs", "composed", "refs"):
                assert blobs_by_file[file_at[operation.path]] == "safe", operation
            if folder in ("records", "refs"):
                references += 1
                assert unsafe == set(), operation
            if folder in ("blobs", "composed"):
                unsafe.add(operation.target)
    assert references >= 5


def test_a_change_of_a_name_is_safe_before_it_is_reported(log: list[Operation]) -> None:
    pending = False
    changes = 0
    for operation in log:
        if operation.kind in ("rename", "unlink") and "store/refs/" in operation.path + operation.target:
            pending = True
        elif operation.kind == "sync_directory" and operation.path == "store/refs":
            pending = False
        elif operation.promise is not None and all(
            len(digests) == 1 for digests in operation.promise.values()
        ):
            changes += 1
            assert not pending
    assert changes == 5


def test_power_may_fail_anywhere(log: list[Operation], fast_path: Path) -> None:
    for length in range(len(log) + 1):
        crash_folder = fast_path / "crash"
        crash_folder.mkdir()
        for root, promised in crashes.states(log[:length], crash_folder, seed=length):
            store = root / "store"
            with Home(store, store_workload.UnsyncedFileSystem()) as home:
                store_workload.check(home, promised)
                store_workload.put(home.blobs, b"goes on")
                if root.name in ("0", "5"):
                    store_workload.work(home, lambda _: None)
                    store_workload.check(home, {})
        shutil.rmtree(crash_folder)


def test_a_kill_at_each_operation_leaves_a_store_that_works(fast_path: Path) -> None:
    operations = int(finish(start("kill", str(fast_path))))
    assert operations > 100


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_refusal_at_each_operation_is_one_sentence_and_breaks_nothing(fast_path: Path, number: int) -> None:
    def refuse() -> None:
        raise OSError(number, os.strerror(number))

    at = 0
    failed = True
    while failed:
        at += 1
        root = fast_path / str(at)
        promised: Promise = {}
        failed = False
        try:
            with Home(root, store_workload.StoppingFileSystem(at, refuse)) as home:
                store_workload.work(home, promised.update)
        except StoreError as error:
            failed = True
            assert str(root) in (error.where or "")
            assert "." not in error.message[-1:]
            assert error.hint
        with Home(root, store_workload.UnsyncedFileSystem()) as home:
            store_workload.check(home, promised)
            assert not any((root / "tmp").iterdir())
            store_workload.work(home, lambda _: None)
            store_workload.check(home, {})


@pytest.mark.concurrency
def test_processes_share_a_store(tmp_path: Path) -> None:
    workers = [start("churn", str(tmp_path / "store"), str(seed), "25") for seed in range(4)]
    promised: Promise = {}
    for worker in workers:
        for line in finish(worker).splitlines():
            promised |= msgspec.json.decode(line)
    with Home(tmp_path / "store") as home:
        store_workload.check(home, promised)
        assert len(home.refs.names()) == 12
        garbage_collection.collect(home, FixedClock(0), keep_days=None)
        store_workload.check(home, promised)


@pytest.mark.concurrency
def test_processes_that_are_killed_leave_a_store_that_works(tmp_path: Path) -> None:
    root = tmp_path / "store"
    for lines in (1, 3, 7, 12):
        victims = [start("churn", str(root), str(seed), "100000") for seed in range(2)]
        promised: Promise = {}
        for victim in victims:
            assert victim.stdout is not None
            for _ in range(lines):
                promised |= msgspec.json.decode(victim.stdout.readline())
        for victim in victims:
            victim.send_signal(signal.SIGKILL)
        for victim in victims:
            output, _ = victim.communicate()
            for line in output.splitlines():
                if line.endswith("}"):
                    promised |= msgspec.json.decode(line)
        with Home(root) as home:
            # A reference may have been replaced after its promise, by a newer image that is whole.
            store_workload.check(home, {})
            assert set(promised) <= set(home.refs.names())


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    home = Home(tmp_path / "store")
    promised: Promise = {}
    store_workload.work(home, promised.update)
    limits_before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits_before[1]))
    try:
        with pytest.raises(StoreError, match="larger than the limit") as caught:
            store_workload.put(home.blobs, bytes(3 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits_before)
    assert caught.value.hint
    assert not any((tmp_path / "store" / "tmp").iterdir())
    store_workload.check(home, promised)


MOUNT = 'mount -t tmpfs -o size=2m,nr_inodes=4k none "$1"'


def in_namespace(script: str, folder: Path) -> str:
    """Run a shell script with mounts of its own; skip where that is not allowed."""
    unshare = need("unshare")
    namespace_check = subprocess.run(
        [unshare, "-rm", "sh", "-ec", MOUNT, "sh", str(folder)], capture_output=True, text=True, check=False
    )
    if namespace_check.returncode != 0:
        absent("this machine allows no user namespaces with mounts")
    process = subprocess.run(
        [unshare, "-rm", "sh", "-ec", f"{MOUNT}\n{script}", "sh", str(folder), sys.executable],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_a_full_disk(tmp_path: Path) -> None:
    output = in_namespace('"$2" -m tests.support.store_workload fill "$1/store"', tmp_path)
    assert "no space left on the device\n  hint: free some space" in output


def test_a_read_only_store_can_be_read(tmp_path: Path) -> None:
    script = """
    "$2" -m tests.support.store_workload work "$1/store"
    mount -o remount,ro,bind "$1"
    "$2" -m tests.support.store_workload read-only "$1/store"
    """
    output_lines = in_namespace(script, tmp_path).splitlines()
    assert output_lines == ["the file system is read-only"] * 6
