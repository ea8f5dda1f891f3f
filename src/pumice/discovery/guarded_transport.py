"""A transport for the registry that a page names, which leads no further than the page's host may."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.discovery.web import Reach

if TYPE_CHECKING:
    from pumice.registry.message import Request, Response, Transport


class GuardedTransport:
    """Sends requests to addresses within a reach only, whatever the client asks for."""

    def __init__(self, transport: Transport, reach: Reach) -> None:
        self._transport = transport
        self._reach = reach

    def send(self, request: Request) -> Response:
        """Send a request; raises RefusedAddressError, TransportError."""
        guarded = msgspec.structs.replace(
            request,
            refuse_local_address=request.refuse_local_address or self._reach < Reach.LOCAL,
            refuse_private_address=request.refuse_private_address or self._reach < Reach.PRIVATE,
        )
        return self._transport.send(guarded)

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()
