"""One request with all that it takes, and the driver that connects protocols to the world."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.registry import content_encoding, redirects
from pumice.registry.errors import RegistryError, shown
from pumice.registry.message import Nothing, Pause, Request, Response, Result, Steps, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.registry.message import Ask, Transport

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 10
_CHUNK = 1 << 18


def plain(request: Request) -> Steps[Response]:
    """Ask once and as it is: the innermost `Ask`."""
    return (yield request)


class Redirecting:
    """Follows redirections. What asks with a login is inside, and sends none to another origin."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def __call__(self, request: Request) -> Steps[Response]:
        """Ask; raises RegistryError when it leads nowhere, in circles, or where it must not lead."""
        first = request.url
        for _ in range(_MAX_REDIRECTS):
            response = yield from self._ask(request)
            if response.status not in _REDIRECTS or not response.header("Location"):
                return msgspec.structs.replace(response, url=request.url)
            response.stream.close()
            request = _onward(request, response, first)
        raise RegistryError("the registry redirects in circles", where=shown(first))


def _onward(request: Request, response: Response, first: str) -> Request:
    target = redirects.follow(request.url, response.header("Location"))
    if not target:
        raise RegistryError("the registry redirects to nowhere", where=shown(first))
    if request.method not in ("GET", "HEAD") and response.status not in (307, 308):
        raise RegistryError("the registry redirects what is being sent", where=shown(first))
    return msgspec.structs.replace(request, url=target)


def drive(steps: Steps[Result], transport: Transport, pause: Callable[[float], object]) -> Result:
    """Run a protocol to its end and return its result; what a transport raises is raised inside it."""
    try:
        wanted = next(steps)
        while True:
            if isinstance(wanted, Pause):
                pause(wanted.seconds)
                wanted = steps.send(_NONE)
                continue
            try:
                response = _complete(transport.send(wanted), wanted)
            except TransportError as error:
                wanted = steps.throw(error)
                continue
            wanted = steps.send(response)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    finally:
        steps.close()


_NONE = Response(0)


def _complete(response: Response, request: Request) -> Response:
    """Read the body of what is not streamed. One that is too long is cut for an error's, else refused."""
    if request.stream and response.status in (200, 206):
        return response
    response = content_encoding.decoded(response)
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
            raise RegistryError(
                f"the registry's answer is larger than {limit} bytes", where=shown(request.url)
            )
        del content[limit:]
    return msgspec.structs.replace(response, content=bytes(content), stream=Nothing())
