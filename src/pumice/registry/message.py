"""What is sent to a registry and what comes back, and the one door that both go through.

Protocols are generators (`Steps`): they yield a `Request` and are sent its `Response`, or yield a
`Pause`. They open no connection, so a test can drive them with a dictionary, and a program with
whatever HTTP client it has: anything with `Transport`'s two methods.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Protocol, TypeVar

import msgspec

from pumice.errors import PumiceError
from pumice.formats import oci

Result = TypeVar("Result")
Header = tuple[str, str]

MAX_CONTENT = oci.MAX_DOCUMENT + (1 << 16)
"""Bytes that an answer which is not streamed may have: a manifest of 4 MiB, and some air."""


class Body(msgspec.Struct, frozen=True):
    """What a request carries: ``size`` bytes, made anew by every call of ``chunks``.

    A chunk is only good until the next one is asked for: large ones share their memory.
    """

    size: int
    chunks: Callable[[], Iterable[bytes | memoryview]]


class Request(msgspec.Struct, frozen=True):
    """One HTTP request.

    ``stream``: the body of a good answer is left to the caller to read; else at most ``limit`` bytes
    of it come as ``content``. ``again``: may be sent again when the connection breaks. ``elsewhere``: a
    registry that is not on this machine named the address, so it must not turn out to be this machine.
    """

    method: str
    url: str
    headers: tuple[Header, ...] = ()
    body: Body | None = None
    stream: bool = False
    limit: int = MAX_CONTENT
    is_repeatable: bool = True
    refuse_local_address: bool = False

    def with_headers(self, *headers: Header) -> Request:
        """Return the request with more headers."""
        return msgspec.structs.replace(self, headers=(*self.headers, *headers))


class Stream(Protocol):
    """The bytes of an answer. Both raise TransportError."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""

    def close(self) -> None:
        """Let go of the connection."""


class EmptyStream:
    """A body without bytes."""

    def read(self, size: int, /) -> bytes:  # noqa: ARG002
        """Return nothing."""
        return b""

    def close(self) -> None:
        """Do nothing."""


class Response(msgspec.Struct, frozen=True):
    """One HTTP response. A transport fills ``stream``; whoever drives reads it into ``content``.

    Whatever is not streamed has been read and closed.
    """

    status: int
    headers: tuple[Header, ...] = ()
    stream: Stream = EmptyStream()
    content: bytes = b""
    url: str = ""
    """Where it came from, after redirections."""

    def header(self, name: str) -> str:
        """Return the value of a header, "" if it is not there; several are joined by commas."""
        return ", ".join(self.header_values(name))

    def header_values(self, name: str) -> list[str]:
        """Return every value of a header."""
        lower_name = name.lower()
        return [value for key, value in self.headers if key.lower() == lower_name]


class Pause(msgspec.Struct, frozen=True):
    """A wish to wait before going on."""

    seconds: float


Exchange = Generator[Request | Pause, Response, Result]
"""A protocol under way: yields requests and pauses, returns its result."""

SendRequest = Callable[[Request], Exchange[Response]]
"""One request with all that it takes: login, redirections, retries."""


class Transport(Protocol):
    """What sends requests. Safe for threads."""

    def send(self, request: Request) -> Response:
        """Send one request as it is and return the answer with its body still to be read.

        Follows no redirection and repeats nothing. Raises TransportError, and RegistryError for a request
        ``elsewhere`` that would go to this machine or its link.
        """

    def close(self) -> None:
        """Close all connections."""


class TransportError(PumiceError):
    """A connection could not be made, or broke. ``lasting``: asking again will not help."""

    exit_code = 6

    def __init__(
        self, message: str, *, where: str | None = None, hint: str | None = None, is_permanent: bool = False
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.is_permanent = is_permanent


def bytes_body(data: bytes) -> Body:
    """Return a body of bytes at hand."""
    return Body(len(data), lambda: (data,))
