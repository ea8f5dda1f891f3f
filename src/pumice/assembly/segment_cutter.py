"""From packages to segments, in parallel; a package whose segment is cached is not even fetched."""

from __future__ import annotations

from concurrent.futures import as_completed
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec

from pumice.assembly.cache import Cache
from pumice.assembly.cutting_pool import CuttingJob, CuttingPool
from pumice.errors import FormatError, ImageError
from pumice.packing import package_cutter, segments
from pumice.packing.package_inventory import PackageInventory, inventory_key
from pumice.packing.segments import Segment
from pumice.packing.selection import Selection
from pumice.recipe.lock import LockedPackage
from pumice.terminal import format_count

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from pumice.assembly.context import BuildContext
    from pumice.digest import Digest
    from pumice.progress import Task
    from pumice.store.home import Home

CACHE = Cache("segment", Segment, lambda segment: (segment.blob,))
"""Segments as cut and as reworked, by `segments.segment_key` and `segments.changed_segment_key`."""

_INVENTORIES = Cache("segment", PackageInventory)


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
        with context.progress.task(f"cutting {format_count(len(missing), 'package')}", total_size) as task:
            segments_by_name |= _cut_missing(missing, context, task)  # keys keep their order
    return {name: segment for name, segment in segments_by_name.items() if segment}


def _cut_missing(
    missing: Sequence[SegmentRequest], context: BuildContext, task: Task
) -> Iterator[tuple[str, Segment]]:
    """Yield the name and the segment of each package, as they are finished."""
    with ExitStack() as stack:
        pool = context.cutting_pool or stack.enter_context(CuttingPool(context.processors))
        requests = {pool.submit(_make_job(request, context)): request for request in missing}
        for future in as_completed(requests):
            package = requests[future].package
            yield package.name, future.result()
            task.advance(package.size)


def _make_job(request: SegmentRequest, context: BuildContext) -> CuttingJob:
    return CuttingJob(
        key=request.key,
        size=request.package.size,
        fetch=lambda: context.fetch_package(request.package),
        cut=lambda stopped: _cut(request, context.home, stopped),
    )


def _cut(request: SegmentRequest, home: Home, stopped: threading.Event) -> Segment:
    package = request.package
    with home.blobs.open("sha256:" + package.sha256) as file:
        try:
            source = cast("BinaryIO", _InterruptibleReader(file, stopped))
            segment = _cut_file(source, request, home)
        except (FormatError, ImageError) as error:
            location = f"{package.name}={package.version}"
            location = f"{location}: {error.where}" if error.where else location
            raise type(error)(error.message, where=location, hint=error.hint) from None
    _check_identity(package, segment)
    CACHE.put(home, request.key, segment)
    return segment


def _cut_file(file: BinaryIO, request: SegmentRequest, home: Home) -> Segment:
    """Cut a package; of one that is sliced, the inventory is kept for the next selection of slices."""
    selection = request.selection
    if selection.paths is None:
        return package_cutter.cut_segment(file, selection, home.blobs)
    key = inventory_key(request.package.sha256)
    return package_cutter.cut_segment(
        file,
        selection,
        home.blobs,
        _INVENTORIES.get(home, key),
        remember=lambda inventory: _INVENTORIES.put(home, key, inventory),
    )


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
