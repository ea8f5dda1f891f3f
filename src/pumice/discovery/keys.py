"""Fetches the public keys that discovery pages name, so that a person can compare their fingerprints.

A page proves nothing about a key but that the web server of the name's host serves it. So a discovered key is
trusted once a person, or the fingerprint that a script has, confirms it, and never replaced afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.discovery import resolver
from pumice.discovery.download import status_error
from pumice.discovery.protocol import explain_absence
from pumice.errors import FetchError, FormatError, PumiceError
from pumice.registry.errors import redact_url
from pumice.registry.message import TransportError
from pumice.trust import public_keys
from pumice.trust.keys import PublicKey

if TYPE_CHECKING:
    from pumice.discovery.session import DiscoverySession
    from pumice.discovery.web import Web

_MAX_KEYS = 1 << 20
"""Bytes of a file of keys, which may contain certifications by others."""
_MAX_COUNT = 64


class DiscoveredKey(msgspec.Struct, frozen=True):
    """A key, and the URL that it is from."""

    key: PublicKey
    url: str


def discover_keys(name: str, session: DiscoverySession) -> list[DiscoveredKey]:
    """Return the keys that the pages of a name lead to, at least one; raises UsageError, FetchError.

    A key that cannot be fetched is a warning if there are others.
    """
    web = session.web()
    discovery = resolver.resolve(name, {}, web, session, images=False)
    if not discovery.keys:
        raise explain_absence(discovery, "keys")
    keys_by_fingerprint: dict[str, DiscoveredKey] = {}
    errors: list[PumiceError] = []
    for endpoint in discovery.keys[:_MAX_COUNT]:
        try:
            for key in _fetch_keys(endpoint.url, web):
                keys_by_fingerprint.setdefault(key.fingerprint, DiscoveredKey(key, redact_url(endpoint.url)))
        except PumiceError as error:
            errors.append(error)
    if not keys_by_fingerprint:
        raise errors[0]
    for problem in errors:
        session.progress.warn(str(problem))
    return list(keys_by_fingerprint.values())[:_MAX_COUNT]


def _fetch_keys(url: str, web: Web) -> tuple[PublicKey, ...]:
    web.check_url(url)
    try:
        page = web.get(url, limit=_MAX_KEYS)
    except TransportError as error:
        raise FetchError(error.message, where=error.where, hint=error.hint) from None
    if page.status != 200:
        raise status_error(page.headers, url)
    if page.is_cut:
        raise FormatError("the file is not a key: larger than 1 MiB", where=redact_url(url))
    try:
        return public_keys.parse_public_keys(page.content)
    except FormatError as error:
        raise FormatError(error.message, where=redact_url(url), hint=error.hint) from None
