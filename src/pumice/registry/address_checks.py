"""Addresses that a registry sends its clients to: redirections, upload locations, token services.

A registry may name any other host, but it must not use its clients as a way to hosts that it cannot reach
itself: this machine, and what is on its link. Nor may it turn an encrypted connection into an open one.
Logins are no concern here: `pumice.registry.auth` sends them to the registry's own origin only.
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
    """Return the absolute URL that an answer from ``source`` names, "" if it names none that is usable.

    Raises RegistryError for one that must not be followed.
    """
    target = headers.resolve_url(source, location)
    if target:
        check_target(source, target)
    return target


def check_target(source: str, target: str) -> None:
    """Raise RegistryError if an answer from ``source`` must not send a client to ``target``."""
    (old_scheme, old_host, _), (new_scheme, new_host, _) = headers.origin(source), headers.origin(target)
    if headers.origin(source) == headers.origin(target) or hosts.is_loopback(old_host):
        return
    if (old_scheme, new_scheme) == ("https", "http"):
        raise RegistryError("cannot follow the registry from https to http", where=redact_url(target))
    if hosts.is_local(new_host):
        raise local_address_error(target)


def local_address_error(target: str) -> RegistryError:
    """Return the error for an address on this machine that a registry elsewhere named."""
    return RegistryError(
        "cannot follow the registry to an address of this machine",
        where=redact_url(target),
        hint="if the registry itself runs on this machine, address it as localhost",
    )


class AddressGuard:
    """Asks, but only what a registry may make its clients ask, whoever came by the address.

    The innermost check, so it also holds for the addresses that logging in needs. Text tells little of
    where a name leads, so the transport is told to look at the address that it connects to.
    """

    def __init__(self, send_request: SendRequest, registry_url: str) -> None:
        """``base`` is the address of the registry."""
        self._send_request = send_request
        self._registry_url = registry_url
        self._origin = headers.origin(registry_url)

    def __call__(self, request: Request) -> Exchange[Response]:
        """Ask; raises RegistryError."""
        if headers.origin(request.url) != self._origin:
            check_target(self._registry_url, request.url)
            refuse_local_address = not hosts.is_loopback(self._origin[1])
            request = msgspec.structs.replace(request, refuse_local_address=refuse_local_address)
        return (yield from self._send_request(request))
