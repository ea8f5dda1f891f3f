"""Runs functions in threads. The first failure cancels the rest."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from pumice.errors import PumiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")

THREADS = 8


class CancelledError(PumiceError):
    """The operation was cancelled because another one failed."""


class Cancellation:
    """Tells running functions to stop; they call `raise_if_cancelled` from time to time."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Cancel all functions that share this object."""
        self._event.set()

    def raise_if_cancelled(self) -> None:
        """Raise CancelledError after `cancel`."""
        if self._event.is_set():
            raise CancelledError("cancelled because another operation failed")


def map_parallel(
    function: Callable[[_Item], _Value], items: Sequence[_Item], *, cancellation: Cancellation | None = None
) -> list[_Value]:
    """Return the results of ``work`` in the order of ``items``; raises the first failure."""
    if len(items) <= 1:
        return [function(item) for item in items]
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    with ThreadPoolExecutor(min(THREADS, len(items)), "registry") as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            results = wait(futures, return_when=FIRST_EXCEPTION)
            failed = [future for future in results.done if future.exception() is not None]
        except BaseException:
            failed = []
            if cancellation is not None:
                cancellation.cancel()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if failed and cancellation is not None:
            cancellation.cancel()
        for future in failed:
            error = future.exception()
            if error is not None and not isinstance(error, CancelledError):
                raise error
        return [future.result() for future in futures]
