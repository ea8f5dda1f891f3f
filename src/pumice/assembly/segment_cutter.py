"""From packages to segments, in parallel; a package whose segment is cached is not even fetched.

Four packages are fetched at a time and as many cut as there are processors. Of those that have
arrived the largest is cut first, because the last one to finish decides how long all of them take.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec

from pumice.assembly.cache import Cache
from pumice.errors import FormatError, ImageError
from pumice.fetch.thread_pool import thread_pool
from pumice.packing import package_cutter, segments
from pumice.packing.segments import Segment
from pumice.packing.selection import Selection
from pumice.recipe.lock import LockedPackage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.assembly.context import BuildContext
    from pumice.digest import Digest
    from pumice.progress import Task

_FETCHERS = 4

CACHE = Cache("segment", Segment, lambda segment: (segment.blob,))
"""Segments as cut and as reworked, by `segments.segment_key` and `segments.changed_segment_key`."""


class SegmentRequest(msgspec.Struct, frozen=True):
    """A package and what to select of it."""

    package: LockedPackage
    selection: Selection

    @property
    def key(self) -> Digest:
        """The cache key of the segment."""
        return segments.segment_key(self.package.sha256, self.selection)


def cut_segments(requests: Sequence[SegmentRequest], context: BuildContext) -> dict[str, Segment]:
    """Return the segments for ``requests`` by package name, in the order of the requests.

    Raises the first error of a package; segments that are finished by then stay in the cache.
    """
    segments_by_name = {request.package.name: CACHE.get(context.home, request.key) for request in requests}
    missing = [request for request in requests if segments_by_name[request.package.name] is None]
    if missing:
        missing.sort(key=lambda request: (-request.package.size, request.package.name))
        total_size = sum(request.package.size for request in missing)
        label = "1 package" if len(missing) == 1 else f"{len(missing)} packages"
        with context.progress.task(f"cutting {label}", total_size) as task:
            segments_by_name |= _CuttingPipeline(context, task).run(missing)  # keys keep their order
    return {name: segment for name, segment in segments_by_name.items() if segment}


class _CuttingPipeline:
    """Fetchers that put packages into a priority queue, and cutters that take the largest out of it."""

    def __init__(self, context: BuildContext, task: Task) -> None:
        self._context = context
        self._blobs = context.home.blobs
        self._task = task
        self._arrived: queue.PriorityQueue[tuple[float, str, SegmentRequest | None]] = queue.PriorityQueue()
        self._failed = threading.Event()
        self._errors: list[BaseException] = []
        self._segments: dict[str, Segment] = {}

    def run(self, requests: Sequence[SegmentRequest]) -> dict[str, Segment]:
        cutters = [
            threading.Thread(target=self._cut_until_closed, daemon=True)
            for _ in range(self._context.processors)
        ]
        for thread in cutters:
            thread.start()
        try:
            with thread_pool(_FETCHERS, "fetch") as fetchers:
                for _ in fetchers.map(self._fetch_one, requests):
                    pass
            self._close(cutters)
        except BaseException as error:  # noqa: BLE001 - Ctrl-C too: the threads must end first
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
            self._context.fetch_package(request.package)
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
            except BaseException as error:  # noqa: BLE001 - raised again by run()
                self._fail(error)

    def _cut(self, request: SegmentRequest) -> None:
        package = request.package
        with self._blobs.open("sha256:" + package.sha256) as file:
            try:
                source = cast("BinaryIO", _InterruptibleReader(file, self._failed))
                segment = package_cutter.cut_segment(source, request.selection, self._blobs)
            except (FormatError, ImageError) as error:
                location = f"{package.name}={package.version}"
                location = f"{location}: {error.where}" if error.where else location
                raise type(error)(error.message, where=location, hint=error.hint) from None
        _check_identity(package, segment)
        CACHE.put(self._context.home, request.key, segment)
        self._segments[package.name] = segment
        self._task.advance(package.size)


class _InterruptibleReader:
    """The file of a package, whose reads raise InterruptedError once ``stopped`` is set."""

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
