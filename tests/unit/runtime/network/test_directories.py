"""Directories of attachments: whatever was killed when, the next command releases what is left."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.errors import PumiceError
from pumice.runtime.name_resolution import NameResolution
from pumice.runtime.network import attachment, collection
from pumice.runtime.network.directories import create_directory, release_abandoned
from pumice.runtime.network.keeper import records
from pumice.runtime.network.keeper.release import PASTA_FILE, SLIRP_FILE, release
from pumice.runtime.network.request import NetworkRequest
from pumice.store.home import Home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.runtime.network.attachment import Attachment
    from pumice.runtime.network.support import Driver

BUSY_WRITER = """
import os, sys
print("ready", flush=True)
while True:
    os.close(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT))
"""


def prepare(home: Home, driver: Driver = "pasta") -> Attachment:
    request = NetworkRequest(mode="private", name="own" if driver == "cni" else "default")
    return attachment.prepare(home, request, driver, hostname="a", names=NameResolution(), environ={})


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def attachments(home: Home) -> Path:
    path = home.directory("networks") / "attachments"
    path.mkdir(mode=0o700)
    return path


def is_locked(directory: Path) -> bool:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_a_network_that_cannot_be_prepared_leaves_nothing(home: Home, attachments: Path) -> None:
    configurations = attachments.parent / "net.d"
    configurations.mkdir()
    (configurations / "own.conflist").write_text("{")
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(PumiceError):
        prepare(home, "cni")
    assert list(attachments.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


@pytest.mark.parametrize("collector", ["the next run", "gc"])
def test_what_a_killed_run_left_is_released(home: Home, attachments: Path, collector: str) -> None:
    child = os.fork()
    if child == 0:
        prepare(home)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (abandoned,) = attachments.iterdir()
    if collector == "gc":
        assert collection.collect(home) == 1
    else:
        with closing(prepare(home)) as prepared:
            assert prepared.directory.exists() and not abandoned.exists()
    assert list(attachments.iterdir()) == []


def test_what_is_in_use_is_left_alone(attachments: Path) -> None:
    directory, lock = create_directory(attachments)
    assert is_locked(directory)
    assert release_abandoned(attachments) == 0
    os.close(lock)
    # The pod runs, though its keeper was killed.
    record = {"pid": os.getpid(), "start": records.start_time(os.getpid())}
    records.write_record(str(directory), record)
    assert release_abandoned(attachments) == release_abandoned(attachments, waits=True) == 0
    records.write_record(str(directory), {**record, "start": 1})
    assert release_abandoned(attachments) == 1
    assert not directory.exists()


def test_a_keeper_that_releases_is_awaited(attachments: Path) -> None:
    directory, lock = create_directory(attachments)
    records.write_record(str(directory), {"pid": os.getpid(), "start": 1})
    assert release_abandoned(attachments) == 0
    results: list[int] = []
    waiter = threading.Thread(target=lambda: results.append(release_abandoned(attachments, waits=True)))
    waiter.start()
    release(str(directory))
    os.close(lock)
    waiter.join(timeout=60)
    assert results == [1] or (results == [0] and not directory.exists())


def test_new_directories_are_never_lost_to_a_collection(attachments: Path) -> None:
    is_done = threading.Event()

    def collect() -> None:
        while not is_done.is_set():
            release_abandoned(attachments)

    collectors = [threading.Thread(target=collect) for _ in range(2)]
    for collector in collectors:
        collector.start()
    try:
        for _ in range(200):
            directory, lock = create_directory(attachments)
            assert is_locked(directory)
            (directory / "file").touch()
            os.close(lock)
    finally:
        is_done.set()
        for collector in collectors:
            collector.join()


@pytest.mark.parametrize(("driver", "name"), [("pasta", PASTA_FILE), ("slirp4netns", SLIRP_FILE)])
@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_helper_ends_before_its_files_are_removed(
    tmp_path: Path, driver: str, name: str, *, is_recorded: bool
) -> None:
    """Also if ``pumice run`` was killed before it had recorded the helper."""
    directory = tmp_path / "attachment"
    directory.mkdir()
    command = [sys.executable, "-c", BUSY_WRITER, str(directory / name)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as helper:
        assert helper.stdout is not None and helper.stdout.readline() == b"ready\n"
        record = {"id": "a", "driver": driver, **({"helper_pid": helper.pid} if is_recorded else {})}
        records.write_record(str(directory), record)
        descriptor = os.pidfd_open(helper.pid)
        try:
            release(str(directory))
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            assert poll.poll(0)
        finally:
            os.close(descriptor)
            helper.kill()
    assert not directory.exists()
