"""The limits of a program that runs at build: its time, its files, and its processes.

A thread measures what the program uses, and kills the whole sandbox when it uses too much. The kernel has
limits of its own, but those for processes do not count for root, and those for files are for each file.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_INTERVAL = 0.1
_DISK_SHARE = 20
"""The disk is measured for at most this part of the time, as a fraction: 20 is 1/20."""
_BLOCK = 512
_SMALLEST_FILE = 4096
_TEMPORARY_FILE_SYSTEMS = ("tmp", "dev/shm")


class CommandLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The most that a program may use: time in seconds, bytes that it adds, processes and threads."""

    seconds: int = 600
    disk: int = 4 << 30
    processes: int = 1000


class LimitWatch:
    """Measures a program that runs on the tree ``root`` and writes its output to the file ``log``.

    ``exceeded`` is the name of the field of the limit that the program exceeded, or empty.
    """

    def __init__(self, limits: CommandLimits, root: Path, log: int) -> None:
        self.exceeded = ""
        self._limits = limits
        self._root = root
        self._log = log
        self._used_before = _measure_tree(root)
        self._measure_disk_at = 0.0

    @contextmanager
    def watch(self, pid: int) -> Iterator[None]:
        """Kill the sandbox ``pid`` as soon as it uses too much, until the context ends."""
        descriptor = os.pidfd_open(pid)
        finished = threading.Event()
        thread = threading.Thread(target=self._run, args=(pid, descriptor, finished), daemon=True)
        thread.start()
        try:
            yield
        finally:
            finished.set()
            thread.join()
            os.close(descriptor)

    def _run(self, pid: int, descriptor: int, finished: threading.Event) -> None:
        end = time.monotonic() + self._limits.seconds
        while not finished.wait(min(_INTERVAL, max(0.0, end - time.monotonic()))):
            self.exceeded = self._find_exceeded(pid, end)
            if self.exceeded:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                return

    def _find_exceeded(self, pid: int, end: float) -> str:
        count, processes = _count_processes(pid, self._limits.processes)
        if count > self._limits.processes:
            return "processes"
        now = time.monotonic()
        if now >= end:
            return "seconds"
        if now >= self._measure_disk_at:
            used = _measure_tree(self._root, self._used_before + self._limits.disk) - self._used_before
            used += os.fstat(self._log).st_size + _measure_temporary_files(processes, self._root)
            self._measure_disk_at = now + _DISK_SHARE * (time.monotonic() - now)
            if used > self._limits.disk:
                return "disk"
        return ""


def _count_processes(sandbox: int, limit: int) -> tuple[int, list[int]]:
    """Return the number of processes and threads below ``sandbox``, and the ids of the processes.

    Counting stops when there are more than ``limit``.
    """
    count = 0
    processes: list[int] = []
    pending = [sandbox]
    while pending and count <= limit:
        process = pending.pop()
        with suppress(OSError, ValueError):
            threads = list(Path(f"/proc/{process}/task").iterdir())
            for thread in threads:
                pending += map(int, (thread / "children").read_bytes().split())
            if process != sandbox:
                count += len(threads)
                processes.append(process)
    return count, processes


def _measure_tree(root: Path, limit: int = 1 << 62) -> int:
    """Return the bytes that the files below ``root`` use; each file counts as a block at least.

    Measuring stops when there are more than ``limit``.
    """
    total = 0
    pending = [os.fspath(root)]
    while pending and total <= limit:
        directory = pending.pop()
        with suppress(OSError):  # the program changes the tree meanwhile
            for entry in os.scandir(directory):
                with suppress(OSError):
                    total += max(_SMALLEST_FILE, entry.stat(follow_symlinks=False).st_blocks * _BLOCK)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
    return total


def _measure_temporary_files(processes: Sequence[int], root: Path) -> int:
    """Return the bytes of the files in memory that a process with the root ``root`` sees."""
    tree = root.stat()
    for process in processes:
        with suppress(OSError):
            seen_root = Path(f"/proc/{process}/root/")
            status = seen_root.stat()
            if (tree.st_dev, tree.st_ino) == (status.st_dev, status.st_ino):
                used = [os.statvfs(seen_root / path) for path in _TEMPORARY_FILE_SYSTEMS]
                return sum((item.f_blocks - item.f_bfree) * item.f_frsize for item in used)
    return 0
