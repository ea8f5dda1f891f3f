"""A request to the registry after its path was matched with an endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from pumice.registry.server.rsgi import RequestHeaders


class Body:
    """The body of a request; ``declared_size`` is its Content-Length, None without one."""

    def __init__(self, chunks: AsyncIterator[bytes], declared_size: int | None) -> None:
        self.chunks = chunks
        self.declared_size = declared_size
        self.received = 0


class RegistryCall(msgspec.Struct, frozen=True):
    """What a client asks for.

    ``repository`` and ``reference`` (a tag, a digest or an upload id) match the specification's grammar,
    or are empty if the endpoint has none. ``user`` is "" for anonymous clients.
    """

    repository: str
    reference: str
    user: str
    parameters: Mapping[str, list[str]]
    headers: RequestHeaders
    body: Body
    is_head: bool = False

    def header(self, name: str) -> str:
        """Return the first value of a header; "" if the request does not have it."""
        return self.headers.get(name) or ""

    def parameter(self, name: str) -> str:
        """Return the first value of a query parameter; "" if the request does not have it."""
        return first_value(self.parameters, name)


def parse_query(text: str) -> dict[str, list[str]]:
    """Return the parameters of a query string in order; a malformed one has no parameters."""
    if not text:
        return {}
    parameters: dict[str, list[str]] = {}
    try:
        for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=1000):
            parameters.setdefault(name, []).append(value)
    except ValueError:
        return {}
    return parameters


def first_value(parameters: Mapping[str, list[str]], name: str) -> str:
    """Return the first value of a parameter; "" if it is missing."""
    values = parameters.get(name)
    return values[0] if values else ""
