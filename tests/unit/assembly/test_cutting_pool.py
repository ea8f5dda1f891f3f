"""The threads that fetch and cut packages for several builds."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest

from pumice.assembly.cutting_pool import CuttingJob, CuttingPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from pumice.packing.segments import Segment

WAIT = 60


def _job(
    key: str,
    cut: Callable[[threading.Event], object] = lambda _: "segment",
    fetch: Callable[[], object] = lambda: None,
    size: int = 1,
) -> CuttingJob:
    return CuttingJob(f"sha256:{key}", size, fetch, cast("Any", cut))


def _result(future: Future[Segment]) -> object:
    return future.result(WAIT)


def test_builds_that_need_the_same_segment_share_the_work() -> None:
    released, calls = threading.Event(), []

    def cut(_: threading.Event) -> str:
        released.wait(WAIT)
        calls.append(1)
        return "segment"

    with CuttingPool(2) as pool:
        first, second = pool.submit(_job("a", cut)), pool.submit(_job("a", cut))
        released.set()
        assert [_result(first), _result(second)] == ["segment", "segment"]
    assert len(calls) == 1


def test_the_largest_package_that_has_arrived_is_cut_first() -> None:
    started, released, arrived, order = (
        threading.Event(),
        threading.Event(),
        threading.Barrier(4, timeout=WAIT),
        [],
    )

    def block(_: threading.Event) -> None:
        started.set()
        released.wait(WAIT)

    def fetch() -> None:
        arrived.wait()

    def add(size: int, _: threading.Event) -> None:
        order.append(size)

    with CuttingPool(1) as pool:
        blocking = pool.submit(_job("first", block))
        assert started.wait(WAIT)
        jobs = [pool.submit(_job(str(size), partial(add, size), fetch, size)) for size in (2, 3, 1)]
        arrived.wait()
        released.set()
        for job in (blocking, *jobs):
            job.result(WAIT)
    assert sorted(order) == [1, 2, 3]
    assert order[0] != 1 or order[1] == 3


def test_an_error_is_raised_where_the_segment_is_needed_and_other_jobs_go_on() -> None:
    def fail(*_: object) -> None:
        raise ValueError("damaged")

    with CuttingPool(1) as pool:
        cutting, fetching, other = (
            pool.submit(_job("a", fail)),
            pool.submit(_job("b", fetch=fail)),
            pool.submit(_job("c")),
        )
        for future in (cutting, fetching):
            with pytest.raises(ValueError, match="damaged"):
                future.result(WAIT)
        assert _result(other) == "segment"
        assert _result(pool.submit(_job("a"))) == "segment"  # a later build tries again


def test_an_error_of_the_command_gives_up_what_has_not_finished() -> None:
    started = threading.Event()

    def cut(stopped: threading.Event) -> None:
        started.set()
        assert stopped.wait(WAIT)
        raise InterruptedError

    futures = []
    with pytest.raises(KeyboardInterrupt), CuttingPool(1) as pool:
        futures = [pool.submit(_job("a", cut)), pool.submit(_job("b"))]
        assert started.wait(WAIT)
        raise KeyboardInterrupt
    for future in futures:
        with pytest.raises(InterruptedError):
            future.result(WAIT)
