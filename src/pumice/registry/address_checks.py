"""Checks of the URLs that a registry supplies: redirects, upload locations, token services.

A registry may name any other host, but must not use its clients to reach hosts that it cannot reach itself:
loopback and link-local addresses. Nor may it downgrade an encrypted connection. Logins are handled
elsewhere: `pumice.registry.auth` only sends them to the registry's own origin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.formats import hosts
from pumice.registry import headers
from pumice.registry.errors import RegistryError, redact_url

if TYPE_CHECKING:
    from pumice.registry.message import Exchange, Request, Response, SendRequest


def resolve_location(source: str, location: str) -> str:
    """Return the absolute URL of a Location in a response from ``source``, "" if it is unusable.

    Raises RegistryError for a URL that must not be followed.
    """
    target = headers.resolve_url(source, location)
    if target:
        check_target(source, target)
    return target


def check_target(source: str, target: str) -> None:
    """Raise RegistryError if a response from ``source`` must not send a client to ``target``."""
    (old_scheme, old_host, _), (new_scheme, new_host, _) = headers.origin(source), headers.origin(target)
    if headers.origin(source) == headers.origin(target) or hosts.is_loopback(old_host):
        return
    if (old_scheme, new_scheme) == ("https", "http"):
        raise RegistryError("refusing a redirect from https to http", where=redact_url(target))
    if hosts.is_local(new_host):
        raise local_address_error(target)


class RefusedAddressError(RegistryError):
    """A URL that a remote server supplied leads to an address that it must not lead to."""


def local_address_error(target: str) -> RegistryError:
    """Return the error for a local address that a remote registry supplied."""
    return refused_address_error(redact_url(target), "local")


def refused_address_error(where: str, kind: str) -> RegistryError:
    """Return the error for an address that a remote registry supplied; ``kind`` is local or private."""
    return RefusedAddressError(
        f"refusing a redirect to a {kind} address",
        where=where,
        hint="if the registry itself runs on this machine, use localhost as its host",
    )


class AddressGuard:
    """Middleware that refuses requests to addresses that a remote registry must not supply.

    It is the innermost middleware, so that it also applies to token services. A host name does not reveal
    its address, so the transport also checks the address that it connects to.
    """

    def __init__(self, send_request: SendRequest, registry_url: str) -> None:
        """``registry_url`` is the URL of the registry, without a path."""
        self._send_request = send_request
        self._registry_url = registry_url
        self._origin = headers.origin(registry_url)

    def __call__(self, request: Request) -> Exchange[Response]:
        """Send the request; raises RegistryError."""
        if headers.origin(request.url) != self._origin:
            check_target(self._registry_url, request.url)
            refuse_local_address = not hosts.is_loopback(self._origin[1])
            request = msgspec.structs.replace(request, refuse_local_address=refuse_local_address)
        return (yield from self._send_request(request))
