from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from pumice import files
from pumice.errors import StoreError
from tests.support.store_workload import StoppingFileSystem

if TYPE_CHECKING:
    from pathlib import Path


def test_replace_writes_the_complete_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.replace(path, b"old")
    files.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.replace(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_replace_accepts_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files.replace("file", b"data")
    assert (tmp_path / "file").read_bytes() == b"data"


def test_replace_accepts_the_longest_file_name(tmp_path: Path) -> None:
    files.replace(tmp_path / ("x" * 255), b"data")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"data"


@pytest.mark.parametrize("at", range(1, 6))
def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path: Path, at: int) -> None:
    def refuse() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file"
    files.replace(path, b"old")
    with pytest.raises(StoreError) as caught:
        files.replace(path, b"new", fs=StoppingFileSystem(at, refuse))
    assert str(caught.value) == (
        f"{path}: cannot write the file: no space left on the device\n"
        "  hint: free some space, for example with 'pumice gc --all'"
    )
    assert path.read_bytes() == (b"old" if at < 5 else b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.replace(tmp_path / "file", b"new", fs=StoppingFileSystem(3, interrupt))
    assert not any(tmp_path.iterdir())


def test_replace_reports_a_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file or directory"):
        files.replace(tmp_path / "no" / "file", b"")


def test_a_short_write_is_continued(tmp_path: Path) -> None:
    """A write to a pipe can be short; the remaining bytes must follow."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    received = bytearray()

    def read() -> None:
        with path.open("rb", buffering=0) as file:
            while data := file.read(1000):
                received.extend(data)

    thread = threading.Thread(target=read)
    thread.start()
    descriptor = os.open(path, os.O_WRONLY)
    file = files._OsFile(descriptor)
    file.write(bytes(300_000))
    file.close()
    file.close()
    thread.join()
    assert len(received) == 300_000


@pytest.mark.concurrency
def test_a_lock_excludes_threads(tmp_path: Path) -> None:
    inside = 0
    most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with files.FileLock(str(tmp_path / "lock")):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


HOLD = """
import sys
from pumice.files import FileLock
lock = FileLock(sys.argv[1])
lock.acquire(shared=sys.argv[2] == "shared")
print("held", flush=True)
sys.stdin.read()
"""


def hold(path: Path, how: str) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_lock_excludes_processes_and_says_when_it_waits(tmp_path: Path) -> None:
    holder = hold(tmp_path / "lock", "alone")
    lock = files.FileLock(str(tmp_path / "lock"))
    holder_outputs: list[object] = []
    lock.acquire(waiting=lambda: holder_outputs.append(holder.communicate()))
    assert (holder.returncode, len(holder_outputs)) == (0, 1)
    lock.release()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    holder = hold(tmp_path / "lock", "alone")
    holder.kill()
    holder.communicate()
    waited: list[bool] = []
    lock = files.FileLock(str(tmp_path / "lock"))
    lock.acquire(waiting=lambda: waited.append(True))
    lock.release()
    assert waited == []


def test_shared_locks_share(tmp_path: Path) -> None:
    holder = hold(tmp_path / "lock", "shared")
    waited: list[bool] = []
    lock = files.FileLock(str(tmp_path / "lock"))
    lock.acquire(shared=True, waiting=lambda: waited.append(True))
    assert waited == []
    assert files.is_locked(str(tmp_path / "lock"))
    lock.release()
    holder.communicate()
    assert not files.is_locked(str(tmp_path / "lock"))
    assert not files.is_locked(str(tmp_path / "none"))


def test_an_unreferenced_lock_is_released(tmp_path: Path) -> None:
    files.FileLock(str(tmp_path / "lock")).acquire()
    assert not files.is_locked(str(tmp_path / "lock"))


def test_files_are_replaced_on_systems_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "fcntl", None)
    with files.FileLock(str(tmp_path / "lock")):
        assert not files.is_locked(str(tmp_path / "lock"))
    files.replace(tmp_path / "file", b"data")
    assert (tmp_path / "file").read_bytes() == b"data"
