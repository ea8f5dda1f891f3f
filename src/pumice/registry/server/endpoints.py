"""The table of endpoints: all of distribution-spec 1.1 and its main branch.

Only paths that match the specification's grammar get past `find_endpoint`, so names, tags and digests
are safe in any use, including as file names.
"""

from __future__ import annotations

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


class _NamedPath(NamedTuple):
    """The endpoints of a pattern ``PREFIX{name}SEPARATOR{placeholder}``, by method."""

    prefix: str
    separator: str
    placeholder: str
    """The kind of reference that ends the path; "" if the path ends with the separator."""
    methods: dict[str, Endpoint]

    def match(self, path: str) -> tuple[str, str] | None:
        """Return the name and the reference in a path; None if the path has another form."""
        head, separator, reference = path.rpartition(self.separator)
        if not separator or not head.startswith(self.prefix) or "/" in reference:
            return None
        if reference and not self.placeholder:
            return None
        return head[len(self.prefix) :], reference


def _compile(endpoints: tuple[Endpoint, ...]) -> tuple[dict[str, dict[str, Endpoint]], list[_NamedPath]]:
    """Return the endpoints without a repository by path, and the others by pattern, in their order."""
    fixed_paths: dict[str, dict[str, Endpoint]] = {}
    named_paths: dict[str, _NamedPath] = {}
    for endpoint in endpoints:
        for pattern in dict.fromkeys((endpoint.pattern, endpoint.pattern.removesuffix("/"))):
            prefix, name, rest = pattern.partition("{name}")
            if not name:
                fixed_paths.setdefault(pattern, {})[endpoint.method] = endpoint
                continue
            separator, _, placeholder = rest.partition("{")
            path = _NamedPath(prefix, separator, placeholder.removesuffix("}"), {})
            named_paths.setdefault(pattern, path).methods[endpoint.method] = endpoint
    return fixed_paths, list(named_paths.values())


_FIXED_PATHS, _NAMED_PATHS = _compile(ENDPOINTS)


def find_endpoint(method: str, path: str) -> EndpointMatch | ServerResponse:
    """Return the endpoint for a request line, or the error response.

    ``path`` has no query, and its percent escapes are decoded.
    """
    methods = _FIXED_PATHS.get(path)
    if methods is not None:
        endpoint = _select_method(methods, method)
        return endpoint if isinstance(endpoint, ServerResponse) else EndpointMatch(endpoint)
    for named_path in _NAMED_PATHS:
        parts = named_path.match(path)
        if parts is not None:
            return _match_named(named_path, method, *parts)
    return responses.error(responses.NO_ENDPOINT)


def _match_named(path: _NamedPath, method: str, name: str, reference: str) -> EndpointMatch | ServerResponse:
    if not grammar.is_repository_name(name):
        message = f"{grammar.quote(name)} is not a valid repository name"
        return responses.error(responses.NAME_INVALID, message)
    endpoint = _select_method(path.methods, method)
    if isinstance(endpoint, ServerResponse):
        return endpoint
    if path.placeholder:
        problem = _check_reference(path.placeholder, reference, method)
        if problem is not None:
            return problem
    return EndpointMatch(endpoint, name, reference)


def _select_method(methods: dict[str, Endpoint], method: str) -> Endpoint | ServerResponse:
    endpoint = methods.get("GET" if method == "HEAD" else method)
    if endpoint is not None:
        return endpoint
    allowed = ", ".join(sorted({*methods, *(("HEAD",) if "GET" in methods else ())}))
    message = f"this endpoint does not support {grammar.quote(method)}"
    return responses.error(responses.UNSUPPORTED, message, headers=[("allow", allowed)])


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
