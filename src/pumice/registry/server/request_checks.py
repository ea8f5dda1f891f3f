"""Checks before a request is handled: it is well-formed, for this registry, and not from a web page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.formats.hosts import is_loopback
from pumice.registry.server import grammar, responses

if TYPE_CHECKING:
    from collections.abc import Collection

    from pumice.registry.server.responses import ServerResponse
    from pumice.registry.server.rsgi import Scope

CHALLENGE = ("www-authenticate", 'Basic realm="pumice"')
VERSION = ("docker-distribution-api-version", "registry/2.0")


def reject_malformed(scope: Scope) -> ServerResponse | None:
    """Reject a request that does not have exactly one Host header (RFC 9112, 3.2)."""
    if len(scope.headers.get_all("host")) == 1 or scope.http_version != "1.1":
        return None
    return responses.error(responses.MALFORMED, "the request needs exactly one Host header")


def reject_dns_rebinding(scope: Scope, hosts: Collection[str]) -> ServerResponse | None:
    """Reject a request for a host that is neither loopback nor one of ``hosts``.

    A web page can point a name of its own to this machine (DNS rebinding) and then read whatever the
    machine of the browser may read. The ``Host`` header of its requests has that name.
    """
    host = _host_name(scope.headers.get("host") or "")
    if not host or host in hosts or is_loopback(host):
        return None
    message = f"this registry does not serve the host {grammar.quote(host)}; see --allowed-host"
    return responses.error(responses.DENIED, message)


def reject_web_pages(scope: Scope) -> ServerResponse | None:
    """Reject a request that a web page makes a browser send, which has an ``Origin`` header."""
    if scope.headers.get("origin") is None:
        return None
    return responses.error(responses.DENIED, "web pages may not use this registry")


def _host_name(host: str) -> str:
    """Return a Host header without its port, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().removesuffix(".")
