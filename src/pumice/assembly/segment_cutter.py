"""Packages to segments, in parallel: what is known already is not even fetched.

Several are fetched at a time and as many cut as there are processors; of what has arrived the
largest goes first, since the last one to finish decides how long it all takes.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec

from pumice.assembly import cache
from pumice.errors import FormatError, ImageError
from pumice.fetch.thread_pool import pool
from pumice.packing import segments
from pumice.packing.segments import Segment
from pumice.packing.selection import Selection
from pumice.recipe.lock import LockedPackage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.digest import Digest
    from pumice.progress import Progress, Task
    from pumice.store.home import Home

_FETCHERS = 4
_KIND = "segment"


class SegmentRequest(msgspec.Struct, frozen=True):
    """A package and what is taken of it."""

    package: LockedPackage
    selection: Selection

    @property
    def key(self) -> Digest:
        """What its segment is kept under."""
        return segments.segment_key(self.package.sha256, self.selection)


def cut_segments(
    requests: Sequence[SegmentRequest],
    fetch: Callable[[LockedPackage], Digest],
    home: Home,
    *,
    processors: int,
    progress: Progress,
) -> dict[str, Segment]:
    """Return the segments of ``wanted`` by package name, in their order.

    ``fetch`` makes a package a verified blob of the store and returns its digest; it is called from
    several threads. Raises whatever goes wrong first; what was finished by then stays.
    """
    segments_by_name = {request.package.name: recall(request.key, home) for request in requests}
    missing = [item for item in requests if segments_by_name[item.package.name] is None]
    if missing:
        missing.sort(key=lambda item: (-item.package.size, item.package.name))
        total = sum(item.package.size for item in missing)
        label = "1 package" if len(missing) == 1 else f"{len(missing)} packages"
        with progress.task(f"cutting {label}", total) as task:
            pipeline = _CuttingPipeline(home, fetch, task)
            segments_by_name |= pipeline.run(missing, processors)  # the keys keep their order
    return {name: segment for name, segment in segments_by_name.items() if segment}


def recall(key: Digest, home: Home) -> Segment | None:
    """Return a segment that is kept under ``key``, if its bytes are there too."""
    return cache.recall(home, _KIND, key, Segment, lambda segment: (segment.blob,))


def remember(key: Digest, segment: Segment, home: Home) -> None:
    """Keep what is known of a segment under ``key``."""
    cache.remember(home, _KIND, key, segment, keeps=(segment.blob,))


class _CuttingPipeline:
    """The production line: fetchers put packages into a heap, cutters take the largest."""

    def __init__(self, home: Home, fetch: Callable[[LockedPackage], Digest], task: Task) -> None:
        self._home = home
        self._fetch = fetch
        self._task = task
        self._arrived: queue.PriorityQueue[tuple[float, str, SegmentRequest | None]] = queue.PriorityQueue()
        self._failed = threading.Event()
        self._errors: list[BaseException] = []
        self._segments: dict[str, Segment] = {}

    def run(self, requests: Sequence[SegmentRequest], processors: int) -> dict[str, Segment]:
        cutters = [threading.Thread(target=self._cut_until_closed, daemon=True) for _ in range(processors)]
        for thread in cutters:
            thread.start()
        try:
            with pool(_FETCHERS, "fetch") as fetchers:
                for _ in fetchers.map(self._fetch_one, requests):
                    pass
            self._close(cutters)
        except BaseException as error:  # noqa: BLE001 - also Ctrl-C: the line must stop first
            self._fail(error)
            self._close(cutters)
        if self._errors:
            raise self._errors[0]
        return self._segments

    def _close(self, cutters: Sequence[threading.Thread]) -> None:
        for number in range(len(cutters)):
            self._arrived.put((float("inf"), str(number), None))
        for thread in cutters:
            thread.join()

    def _fail(self, error: BaseException) -> None:
        self._errors.append(error)
        self._failed.set()

    def _fetch_one(self, request: SegmentRequest) -> None:
        if not self._failed.is_set():
            self._fetch(request.package)
            self._arrived.put((-request.package.size, request.package.name, request))

    def _cut_until_closed(self) -> None:
        while True:
            _, _, request = self._arrived.get()
            if request is None:
                return
            if self._failed.is_set():
                continue
            try:
                self._cut(request)
            except BaseException as error:  # noqa: BLE001 - handed to the thread that asked
                self._fail(error)

    def _cut(self, request: SegmentRequest) -> None:
        package = request.package
        with self._home.blobs.open("sha256:" + package.sha256) as file:
            try:
                source = cast("BinaryIO", _InterruptibleReader(file, self._failed))
                segment = segments.cut_segment(source, request.selection, self._home.blobs)
            except (FormatError, ImageError) as error:
                location = f"{package.name}={package.version}"
                location = f"{location}: {error.where}" if error.where else location
                raise type(error)(error.message, where=location, hint=error.hint) from None
        _check_identity(package, segment)
        remember(request.key, segment, self._home)
        self._segments[package.name] = segment
        self._task.advance(package.size)


class _InterruptibleReader:
    """A package's file that ends the work on it when the line stops, however large it is."""

    def __init__(self, file: BinaryIO, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._read = file.read
        self.seek = file.seek

    def read(self, size: int = -1, /) -> bytes:
        if self._stopped.is_set():
            raise InterruptedError
        return self._read(size)


def _check_identity(package: LockedPackage, segment: Segment) -> None:
    facts = segment.facts
    declared = (facts.name, facts.version, facts.architecture)
    if declared != (package.name, package.version, package.architecture):
        raise FormatError(
            f"the package says it is {facts.name}={facts.version} for {facts.architecture}",
            where=f"{package.name}={package.version}",
            hint="the archive's index and the package disagree",
        )
