"""Reading the log of a pod, also while it is written; see `supervisor.log_writer`."""

from __future__ import annotations

import heapq
import itertools
import os
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.runtime.pods import pod_store
from pumice.runtime.pods.supervisor import log_writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from pumice.runtime.pods.pod_store import PodState

_POLL_SECONDS = 0.05
_MAX_LINE = 1 << 20


class LogLine(msgspec.Struct, frozen=True):
    """A line of the log; ``text`` ends in a line feed unless the program wrote none."""

    time: str
    stream: str
    text: bytes


def read_pod_log(
    state: PodState, *, since: str = "", tail: int | None = None, follow: bool = False
) -> Iterator[tuple[str, LogLine]]:
    """Yield the lines of a pod with the names of their apps, ordered by time; see `read_log`."""
    if not state.pod.apps:
        for line in read_log(state.directory, since=since, tail=tail, follow=follow):
            yield "", line
        return
    apps = pod_store.read_apps(state)
    directories = {app.pod.name: app.directory for app in apps}
    merged = heapq.merge(
        *(_label(name, read_log(directory, since=since)) for name, directory in directories.items()),
        key=lambda labeled: labeled[1].time,
    )
    counts = dict.fromkeys(directories, 0)
    yield from _count_lines(merged, counts) if tail is None else deque(_count_lines(merged, counts), tail)
    if follow:
        yield from _follow_apps(directories, since, counts)


def _label(app: str, lines: Iterable[LogLine]) -> Iterator[tuple[str, LogLine]]:
    for line in lines:
        yield app, line


def _count_lines(
    labeled_lines: Iterable[tuple[str, LogLine]], counts: dict[str, int]
) -> Iterator[tuple[str, LogLine]]:
    for app, line in labeled_lines:
        counts[app] += 1
        yield app, line


def _follow_apps(
    directories: dict[str, Path], since: str, counts: dict[str, int]
) -> Iterator[tuple[str, LogLine]]:
    """Yield the lines of several apps that follow the first ``counts`` until all have ended."""
    lines: queue.SimpleQueue[tuple[str, LogLine | None]] = queue.SimpleQueue()

    def read(name: str, directory: Path) -> None:
        for line in itertools.islice(read_log(directory, since=since, follow=True), counts[name], None):
            lines.put((name, line))
        lines.put((name, None))

    for name, directory in directories.items():
        threading.Thread(target=read, args=(name, directory), daemon=True).start()
    remaining = len(directories)
    while remaining:
        name, line = lines.get()
        if line is None:
            remaining -= 1
        else:
            yield name, line


def read_log(
    directory: Path, *, since: str = "", tail: int | None = None, follow: bool = False
) -> Iterator[LogLine]:
    """Yield the lines of the log of a pod from the time ``since`` on, or the last ``tail`` of them.

    With ``follow``, wait for more until the pod has ended. Times are compared as text.
    """
    # The current log is opened first, so that it is not read twice if it becomes the previous one now.
    log = _open(directory / log_writer.NAME)
    previous = _open(directory / log_writer.PREVIOUS)
    opened = [file for file in (previous, log) if file]
    if log and previous and os.path.samestat(os.fstat(log.fileno()), os.fstat(previous.fileno())):
        opened.remove(previous)
    try:
        lines = (line for file in opened for line in _read_lines(file) if line.time >= since)
        yield from lines if tail is None else deque(lines, tail)
        if follow and log:
            yield from _follow(directory, log)
    finally:
        for file in (previous, log):
            if file:
                file.close()


def _open(path: Path) -> BinaryIO | None:
    try:
        return files.open_regular(path)
    except OSError:
        return None


def _follow(directory: Path, log: BinaryIO) -> Iterator[LogLine]:
    """Yield what is added to the log until the pod has ended; ``log`` is read to its present end."""
    pending = b""
    while True:
        state = pod_store.read_pod(directory)
        has_ended = state is None or not (state.has_program or state.state == pod_store.STARTING)
        while data := log.readline(_MAX_LINE):
            pending += data
            if pending.endswith(b"\n"):
                line, pending = _parse(pending), b""
                if line:
                    yield line
        renewed = _open(directory / log_writer.NAME)
        if renewed and not os.path.samestat(os.fstat(renewed.fileno()), os.fstat(log.fileno())):
            log.close()
            log = renewed
            continue
        if renewed:
            renewed.close()
        if has_ended:
            return
        time.sleep(_POLL_SECONDS)


def _read_lines(file: BinaryIO) -> Iterator[LogLine]:
    while record := file.readline(_MAX_LINE):
        if not record.endswith(b"\n"):
            # The supervisor is writing this line now: it is read again when the log is followed.
            file.seek(-len(record), os.SEEK_CUR)
            return
        line = _parse(record)
        if line:
            yield line


def _parse(record: bytes) -> LogLine | None:
    fields = record.split(b" ", 3)
    if len(fields) != 4:
        return None
    text = fields[3] if fields[2] == b"F" else fields[3].removesuffix(b"\n")
    return LogLine(fields[0].decode(errors="replace"), fields[1].decode(errors="replace"), text)
