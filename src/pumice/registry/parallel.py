"""A few things at once. The first failure stops what has not begun, and tells what has to stop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from pumice.errors import PumiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")

THREADS = 8


class StoppedError(PumiceError):
    """Something else failed, so this is of no use any more."""


class Brake:
    """Told by whoever works whether to go on."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let everybody else stop."""
        self._stopped.set()

    def check(self) -> None:
        """Raise StoppedError if work should stop."""
        if self._stopped.is_set():
            raise StoppedError("stopped, because something else failed")


def mapped(
    work: Callable[[_Item], _Value], items: Sequence[_Item], *, brake: Brake | None = None
) -> list[_Value]:
    """Return the results of ``work`` in the order of ``items``; raises the first failure."""
    if len(items) <= 1:
        return [work(item) for item in items]
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    with ThreadPoolExecutor(min(THREADS, len(items)), "registry") as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            done = wait(futures, return_when=FIRST_EXCEPTION)
            failed = [future for future in done.done if future.exception() is not None]
        except BaseException:
            failed = []
            if brake is not None:
                brake.stop()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if failed and brake is not None:
            brake.stop()
        for future in failed:
            error = future.exception()
            if error is not None and not isinstance(error, StoppedError):
                raise error
        return [future.result() for future in futures]
