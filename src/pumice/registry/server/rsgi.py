"""The parts of RSGI, the interface of the HTTP engine, that the server uses.

RSGI is specified by Granian, ``docs/spec/RSGI.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pumice.registry.server import responses


class RequestHeaders(Protocol):
    """The headers of a request; names are in lower case."""

    def get(self, name: str) -> str | None:
        """Return the first value of a header; None if the request does not have it."""

    def get_all(self, name: str) -> list[str]:
        """Return all values of a header."""


class Scope(Protocol):
    """The head of a request."""

    method: str
    path: str
    """Without the query, and with its percent escapes decoded."""
    query_string: str
    headers: RequestHeaders
    http_version: str
    client: str
    """The address and port of the client."""


class ResponseStream(Protocol):
    """The body of a response that is sent in parts."""

    async def send_bytes(self, data: bytes) -> None:
        """Send the next bytes; raises RuntimeError when the client is gone."""


class Transport(Protocol):
    """The connection of one request: reads its body and sends one response."""

    def response_empty(self, status: int, headers: responses.Headers) -> None:
        """Send a response without a body."""

    def response_bytes(self, status: int, headers: responses.Headers, body: bytes) -> None:
        """Send bytes."""

    def response_file_range(
        self, status: int, headers: responses.Headers, file: str, start: int, end: int
    ) -> None:
        """Send the bytes of a file from ``start`` up to ``end``."""

    def response_stream(self, status: int, headers: responses.Headers) -> ResponseStream:
        """Begin a response that is sent in parts."""

    def __aiter__(self) -> AsyncIterator[Any]:
        """Yield the request body in chunks."""
