"""Calls blocking functions in threads, with their types checked."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """A bounded number of threads for hashing, passwords, and storage access."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool

    async def run(self, function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        """Call ``function`` in a thread and return its result."""
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, partial(function, *arguments, **keywords)
        )
