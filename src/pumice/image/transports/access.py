"""Opens what locations are read and written with, connecting to registries only when one is needed."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pumice.image.transports.locations import Access

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from pumice.progress import Progress
    from pumice.registry.client import Client
    from pumice.store.home import Home


@contextmanager
def open_access(
    home: Home,
    open_client: Callable[[], AbstractContextManager[Client]],
    progress: Progress,
    *,
    stdout: BinaryIO | None = None,
) -> Iterator[Access]:
    """Give the access to all locations; ``open_client`` is called at most once, for the first registry."""
    with ExitStack() as stack:
        clients: list[Client] = []

        def connect() -> Client:
            if not clients:
                clients.append(stack.enter_context(open_client()))
            return clients[0]

        yield Access(home, connect, progress, stdout)
