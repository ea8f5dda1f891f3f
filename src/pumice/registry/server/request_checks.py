"""Which requests are looked at at all: well-formed ones, for this registry, not from a page of a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pumice.formats.hosts import is_loopback
from pumice.registry.server import calls, responses

if TYPE_CHECKING:
    from collections.abc import Collection

    from pumice.registry.server.responses import Answer

CHALLENGE = ("www-authenticate", 'Basic realm="pumice"')
VERSION = ("docker-distribution-api-version", "registry/2.0")


def malformed(scope: Any) -> Answer | None:
    """Refuse a request that does not say once to which host it goes (RFC 9112, 3.2)."""
    if len(scope.headers.get_all("host")) == 1 or scope.http_version != "1.1":
        return None
    return responses.error(responses.MALFORMED, "the request needs one Host header, and no more")


def reject_dns_rebinding(scope: Any, hosts: Collection[str]) -> Answer | None:
    """Refuse a request for a host that this registry does not answer for.

    A web page can point a name of its own to this machine (DNS rebinding), and then reads whatever the
    browser's machine may read. Its requests are known by ``Host``: neither loopback nor one of ``hosts``.
    """
    host = _host(scope.headers.get("host") or "")
    if not host or host in hosts or is_loopback(host):
        return None
    message = f"this registry does not answer for the host {calls.shown(host)}; see --allowed-host"
    return responses.error(responses.DENIED, message)


def reject_web_pages(scope: Any) -> Answer | None:
    """Refuse what a web page makes a browser send, which is known by ``Origin``."""
    if scope.headers.get("origin") is None:
        return None
    return responses.error(responses.DENIED, "web pages may not use this registry")


def _host(text: str) -> str:
    """Return a Host header without its port."""
    if text.startswith("["):
        return text[1:].partition("]")[0].lower()
    return text.partition(":")[0].lower().removesuffix(".")
