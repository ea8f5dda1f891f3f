"""The threads that fetch and cut packages, for one build or for all builds of a command.

Four packages are fetched at a time and as many cut as there are processors. Of those that have
arrived the largest is cut first, because the last one to finish decides how long all of them take.
"""

from __future__ import annotations

import itertools
import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.digest import Digest
    from pumice.packing.segments import Segment

_FETCHERS = 4
_LAST = float("inf")


class CuttingJob(msgspec.Struct, frozen=True):
    """A package to cut; builds that need a segment with the same ``key`` share it."""

    key: Digest
    size: int
    fetch: Callable[[], object]
    """Puts the package into the store."""
    cut: Callable[[threading.Event], Segment]
    """Cuts it; raises InterruptedError once the event is set."""


class CuttingPool:
    """Fetchers that put packages into a priority queue, and cutters that take the largest out of it.

    A context manager, thread-safe; the threads start with the first job. On exit after an error the jobs
    that have not finished are given up.
    """

    def __init__(self, processors: int) -> None:
        self._processors = processors
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._arrived: queue.PriorityQueue[tuple[float, int, CuttingJob | None]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._pending: dict[Digest, Future[Segment]] = {}
        self._fetchers: ThreadPoolExecutor | None = None
        self._cutters: list[threading.Thread] = []

    def __enter__(self) -> CuttingPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind:
            self._stopped.set()
        if self._fetchers:
            # After Ctrl-C there is no waiting for a mirror that does not respond.
            is_interrupt = kind is not None and not issubclass(kind, Exception)
            self._fetchers.shutdown(wait=not is_interrupt, cancel_futures=kind is not None)
        for _ in self._cutters:
            self._arrived.put((_LAST, next(self._numbers), None))
        for thread in self._cutters:
            thread.join()
        for key in list(self._pending):
            self._fail(key, InterruptedError())

    def submit(self, job: CuttingJob) -> Future[Segment]:
        """Return the segment of ``job``, which another build may be waiting for already."""
        with self._lock:
            future = self._pending.get(job.key)
            if future is None:
                future = self._pending[job.key] = Future()
                self._start().submit(self._fetch, job)
            return future

    def _start(self) -> ThreadPoolExecutor:
        if self._fetchers is None:
            self._fetchers = ThreadPoolExecutor(_FETCHERS, "fetch")
            self._cutters = [
                threading.Thread(target=self._cut_until_closed, daemon=True) for _ in range(self._processors)
            ]
            for thread in self._cutters:
                thread.start()
        return self._fetchers

    def _fetch(self, job: CuttingJob) -> None:
        try:
            self._check_running()
            job.fetch()
        except BaseException as error:  # noqa: BLE001 - raised again by the build that waits
            self._fail(job.key, error)
        else:
            self._arrived.put((-job.size, next(self._numbers), job))

    def _cut_until_closed(self) -> None:
        while True:
            _, _, job = self._arrived.get()
            if job is None:
                return
            try:
                self._check_running()
                segment = job.cut(self._stopped)
            except BaseException as error:  # noqa: BLE001 - raised again by the build that waits
                self._fail(job.key, error)
            else:
                if future := self._take(job.key):
                    future.set_result(segment)

    def _check_running(self) -> None:
        if self._stopped.is_set():
            raise InterruptedError

    def _fail(self, key: Digest, error: BaseException) -> None:
        if future := self._take(key):
            future.set_exception(error)

    def _take(self, key: Digest) -> Future[Segment] | None:
        """Return the result to set, None if the job has been given up."""
        with self._lock:
            return self._pending.pop(key, None)
