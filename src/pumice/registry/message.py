"""HTTP requests and responses as values, and the interface of a transport that sends them.

Operations are generators (`Exchange`): they yield a `Request` and are sent the `Response`, or yield a
`Pause`. They do no I/O, so a test can run them with canned responses, and a program with any HTTP library
that is wrapped in the two methods of `Transport`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Protocol, TypeVar

import msgspec

from pumice.errors import FetchError, PumiceError
from pumice.formats import oci

Result = TypeVar("Result")
Header = tuple[str, str]

MAX_CONTENT = oci.MAX_DOCUMENT + (1 << 16)
"""Bytes of the largest response that is not streamed: a manifest of 4 MiB, and some more."""


class Body(msgspec.Struct, frozen=True):
    """The body of a request: ``size`` bytes, which every call of ``chunks`` yields from the start.

    A chunk is only valid until the next one is read: large ones share a buffer.
    """

    size: int
    chunks: Callable[[], Iterable[bytes | memoryview]]


class Request(msgspec.Struct, frozen=True):
    """One HTTP request.

    ``stream``: the caller reads the body of a successful response; otherwise ``content`` has it, at most
    ``limit`` bytes. ``is_repeatable``: may be sent again after a broken connection.
    ``refuse_local_address``: the URL comes from a remote registry and must not lead to a local address.
    ``refuse_private_address``: nor to an address of a private network.
    """

    method: str
    url: str
    headers: tuple[Header, ...] = ()
    body: Body | None = None
    stream: bool = False
    limit: int = MAX_CONTENT
    is_repeatable: bool = True
    refuse_local_address: bool = False
    refuse_private_address: bool = False

    def with_headers(self, *headers: Header) -> Request:
        """Return the request with more headers."""
        return msgspec.structs.replace(self, headers=(*self.headers, *headers))


class Stream(Protocol):
    """The body of a response. Both methods raise TransportError."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""

    def close(self) -> None:
        """Close the connection."""


class EmptyStream:
    """An empty body."""

    def read(self, size: int, /) -> bytes:  # noqa: ARG002 - part of the protocol
        """Return no bytes."""
        return b""

    def close(self) -> None:
        """Do nothing."""


class Response(msgspec.Struct, frozen=True):
    """One HTTP response. A transport sets ``stream``; `run_exchange` reads it into ``content``.

    Only the stream of a request with ``stream=True`` is still open.
    """

    status: int
    headers: tuple[Header, ...] = ()
    stream: Stream = EmptyStream()
    content: bytes = b""
    url: str = ""
    """The URL of the response, after redirects."""
    peer: str = ""
    """The address that it came from; "" if a proxy connected to it, or if that is unknown."""

    def header(self, name: str) -> str:
        """Return the value of a header, "" if it is missing; several values are joined by commas."""
        return ", ".join(self.header_values(name))

    def header_values(self, name: str) -> list[str]:
        """Return every value of a header."""
        lower_name = name.lower()
        return [value for key, value in self.headers if key.lower() == lower_name]


class Pause(msgspec.Struct, frozen=True):
    """A request to wait a number of seconds."""

    seconds: float


Exchange = Generator[Request | Pause, Response, Result]
"""An operation in progress: yields requests and pauses, and returns the result."""

SendRequest = Callable[[Request], Exchange[Response]]
"""Sends one request, with whatever the middleware adds: authentication, redirects, retries."""


class Transport(Protocol):
    """Sends HTTP requests. Thread-safe."""

    def send(self, request: Request) -> Response:
        """Send a request unchanged and return the response, whose body is not read yet.

        Does not follow redirects or retry. Raises TransportError, and RegistryError if the request has
        ``refuse_local_address`` and the host has a loopback or link-local address.
        """

    def close(self) -> None:
        """Close all connections."""


class TransportError(PumiceError):
    """A connection failed. ``is_permanent``: a retry will not help."""

    exit_code = FetchError.exit_code

    def __init__(
        self, message: str, *, where: str | None = None, hint: str | None = None, is_permanent: bool = False
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.is_permanent = is_permanent


def bytes_body(data: bytes) -> Body:
    """Return a body with these bytes."""
    return Body(len(data), lambda: (data,))
