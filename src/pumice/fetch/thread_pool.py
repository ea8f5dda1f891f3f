"""A pool of download threads that Ctrl-C does not wait for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def thread_pool(threads: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Yield an executor with ``threads`` threads; on exit, wait for the jobs that have started.

    After an interrupt there is no waiting: a mirror that does not respond blocks a thread for minutes. Such
    a thread leaves a temporary file in the store, as a killed process does.
    """
    executor = ThreadPoolExecutor(threads, name)
    try:
        yield executor
    except BaseException as error:
        executor.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
        raise
    executor.shutdown()
