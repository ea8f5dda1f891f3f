"""The table of endpoints: all of distribution-spec 1.1 and its main branch.

Only paths that match the specification's grammar get past `find_endpoint`, so names, tags and digests
are safe in any use, including as file names.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pumice.registry.server import grammar, read_handlers, responses, upload_handlers, write_handlers
from pumice.registry.server.proxy import Proxy
from pumice.registry.server.responses import ServerResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pumice.registry.server.calls import RegistryCall
    from pumice.registry.server.context import HandlerContext

    Handler = Callable[[HandlerContext, RegistryCall], Awaitable[ServerResponse]]
    ProxyHandler = Callable[[Proxy, RegistryCall], Awaitable[ServerResponse]]


class Right(Enum):
    """What a client needs to be allowed to use an endpoint."""

    NONE = auto()
    LOGIN = auto()
    """To log in, if there are users and logging in grants more rights."""
    READ = auto()
    WRITE = auto()


class Endpoint(msgspec.Struct, frozen=True):
    """A method on the paths of a pattern.

    ``handler`` answers from the storage. If the server is a proxy, ``proxied`` answers instead; endpoints
    without it never reach the upstream registry. GET includes HEAD. The responses of endpoints that
    return ``content`` are cached and support conditional requests.
    """

    method: str
    pattern: str
    right: Right
    handler: Handler
    proxied: ProxyHandler | None = None
    content: bool = False


ENDPOINTS = (
    Endpoint("GET", "/v2/", Right.LOGIN, read_handlers.get_base),
    Endpoint("GET", "/v2/_catalog", Right.NONE, read_handlers.list_repositories),
    Endpoint("GET", "/healthz", Right.NONE, read_handlers.get_base),
    Endpoint("POST", "/v2/{name}/blobs/uploads/", Right.WRITE, upload_handlers.begin_upload),
    Endpoint("GET", "/v2/{name}/blobs/uploads/{upload}", Right.WRITE, upload_handlers.get_upload),
    Endpoint("PATCH", "/v2/{name}/blobs/uploads/{upload}", Right.WRITE, upload_handlers.append_to_upload),
    Endpoint("PUT", "/v2/{name}/blobs/uploads/{upload}", Right.WRITE, upload_handlers.finish_upload),
    Endpoint("DELETE", "/v2/{name}/blobs/uploads/{upload}", Right.WRITE, upload_handlers.cancel_upload),
    Endpoint("GET", "/v2/{name}/tags/list", Right.READ, read_handlers.list_tags, Proxy.list_tags),
    Endpoint(
        "GET", "/v2/{name}/referrers/{digest}", Right.READ, read_handlers.list_referrers, Proxy.list_referrers
    ),
    Endpoint(
        "GET", "/v2/{name}/blobs/{digest}", Right.READ, read_handlers.get_blob, Proxy.get_blob, content=True
    ),
    Endpoint("DELETE", "/v2/{name}/blobs/{digest}", Right.WRITE, write_handlers.delete_blob),
    Endpoint(
        "GET",
        "/v2/{name}/manifests/{reference}",
        Right.READ,
        read_handlers.get_manifest,
        Proxy.get_manifest,
        content=True,
    ),
    Endpoint("PUT", "/v2/{name}/manifests/{reference}", Right.WRITE, write_handlers.put_manifest),
    Endpoint("DELETE", "/v2/{name}/manifests/{reference}", Right.WRITE, write_handlers.delete_manifest),
)
"""A path belongs to the first pattern that matches. A slash at the end of a pattern is optional."""


class EndpointMatch(NamedTuple):
    """An endpoint with the parts of the path; "" for what its pattern does not have."""

    endpoint: Endpoint
    repository: str = ""
    reference: str = ""


class _Path(NamedTuple):
    """The endpoints with the same pattern, by method."""

    expression: re.Pattern[str]
    methods: dict[str, Endpoint]


def _compile(endpoints: tuple[Endpoint, ...]) -> list[_Path]:
    by_pattern: dict[str, _Path] = {}
    for endpoint in endpoints:
        path = by_pattern.get(endpoint.pattern)
        if path is None:
            expression = endpoint.pattern.replace("{name}", "(?P<name>.*)")
            expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]*)", expression)
            if expression.endswith("/"):
                expression += "?"
            path = _Path(re.compile(expression, re.DOTALL), {})
            by_pattern[endpoint.pattern] = path
        path.methods[endpoint.method] = endpoint
    return list(by_pattern.values())


_PATHS = _compile(ENDPOINTS)


def find_endpoint(method: str, path: str) -> EndpointMatch | ServerResponse:
    """Return the endpoint for a request line, or the error response.

    ``path`` has no query, and its percent escapes are decoded.
    """
    for known_path in _PATHS:
        match = known_path.expression.fullmatch(path)
        if match is not None:
            return _select(known_path.methods, method, match)
    return responses.error(responses.NO_ENDPOINT)


def _select(
    methods: dict[str, Endpoint], method: str, match: re.Match[str]
) -> EndpointMatch | ServerResponse:
    groups = match.groupdict()
    name = groups.pop("name", None)
    if name is not None and not grammar.is_repository_name(name):
        message = f"{grammar.quote(name)} is not a valid repository name"
        return responses.error(responses.NAME_INVALID, message)
    endpoint = methods.get("GET" if method == "HEAD" else method)
    if endpoint is None:
        allowed = ", ".join(sorted({*methods, *(("HEAD",) if "GET" in methods else ())}))
        message = f"this endpoint does not support {grammar.quote(method)}"
        return responses.error(responses.UNSUPPORTED, message, headers=[("allow", allowed)])
    for kind, value in groups.items():
        problem = _check_reference(kind, value, method)
        if problem is not None:
            return problem
    return EndpointMatch(endpoint, name or "", "".join(groups.values()))


def _check_reference(kind: str, text: str, method: str) -> ServerResponse | None:
    """Return the error for a malformed ``digest``, ``reference`` or ``upload`` of a path."""
    if kind == "upload":
        is_valid = grammar.UPLOAD_ID.fullmatch(text) is not None
        return None if is_valid else responses.error(responses.BLOB_UPLOAD_UNKNOWN)
    if grammar.DIGEST.fullmatch(text):
        return None
    if kind == "digest" or ":" in text:
        return responses.bad_digest(text)
    if grammar.TAG.fullmatch(text):
        return None
    code = responses.MANIFEST_INVALID if method == "PUT" else responses.MANIFEST_UNKNOWN
    return responses.error(code, f"{grammar.quote(text)} is not a valid tag")
