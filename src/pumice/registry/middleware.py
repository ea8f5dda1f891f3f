"""Follows redirects, and runs exchanges with a transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.registry import address_checks, content_encoding
from pumice.registry.errors import RegistryError, redact_url
from pumice.registry.message import EmptyStream, Exchange, Pause, Request, Response, Result, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.registry.message import SendRequest, Transport

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 10
_CHUNK = 1 << 18


def send_once(request: Request) -> Exchange[Response]:
    """Send the request once, unchanged: the innermost `SendRequest`."""
    return (yield request)


class RedirectFollower:
    """Middleware that follows redirects. The authentication inside it sends no login to another origin."""

    def __init__(self, send_request: SendRequest) -> None:
        self._send_request = send_request

    def __call__(self, request: Request) -> Exchange[Response]:
        """Send the request; raises RegistryError for a redirect that is unusable, endless or not allowed."""
        first_url = request.url
        for _ in range(_MAX_REDIRECTS):
            response = yield from self._send_request(request)
            if response.status not in _REDIRECTS or not response.header("Location"):
                return msgspec.structs.replace(response, url=request.url)
            response.stream.close()
            request = _redirected_request(request, response, first_url)
        raise RegistryError("too many redirects", where=redact_url(first_url))


def _redirected_request(request: Request, response: Response, first_url: str) -> Request:
    target = address_checks.resolve_location(request.url, response.header("Location"))
    if not target:
        raise RegistryError("the registry redirects to an unusable URL", where=redact_url(first_url))
    if request.method not in ("GET", "HEAD") and response.status not in (307, 308):
        raise RegistryError("the registry redirects an upload", where=redact_url(first_url))
    return msgspec.structs.replace(request, url=target)


def run_exchange(
    exchange: Exchange[Result], transport: Transport, sleep: Callable[[float], object]
) -> Result:
    """Run an exchange and return its result; a TransportError is raised inside the exchange."""
    try:
        step = next(exchange)
        while True:
            if isinstance(step, Pause):
                sleep(step.seconds)
                step = exchange.send(_NO_RESPONSE)
                continue
            try:
                response = _read_content(transport.send(step), step)
            except TransportError as error:
                step = exchange.throw(error)
                continue
            step = exchange.send(response)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    finally:
        exchange.close()


_NO_RESPONSE = Response(0)


def _read_content(response: Response, request: Request) -> Response:
    """Return the response with its content, unless it is streamed.

    An error response that is too long is cut; another one raises RegistryError.
    """
    if request.stream and response.status in (200, 206):
        return response
    response = content_encoding.decode_response(response)
    content = bytearray()
    limit = request.limit if response.status < 400 else 1 << 16
    try:
        while data := response.stream.read(_CHUNK):
            content += data
            if len(content) > limit:
                break
    finally:
        response.stream.close()
    if len(content) > limit:
        if response.status < 400:
            raise RegistryError(f"the response is larger than {limit} bytes", where=redact_url(request.url))
        del content[limit:]
    return msgspec.structs.replace(response, content=bytes(content), stream=EmptyStream())
