"""Threads that fetch, for whom nobody waits who has pressed Ctrl-C."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def pool(threads: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Run jobs in ``threads`` threads; leaving it waits for those that have begun.

    Unless a person interrupts: a mirror that does not answer holds a thread for minutes. What such a
    thread leaves is the store's scratch file, which it does for any process that is killed.
    """
    executor = ThreadPoolExecutor(threads, name)
    try:
        yield executor
    except BaseException as error:
        executor.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
        raise
    executor.shutdown()
