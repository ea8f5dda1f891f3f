"""Public keys from a URL, fetched once so that a person can compare the fingerprint.

The connection does not prove whose key it is. It is only protected against the worst: TLS with a valid
certificate, no redirect to another host, and a small size limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import FetchError, FormatError, UsageError
from pumice.fetch.network_rules import parse_url, without_login
from pumice.formats.hosts import is_loopback

if TYPE_CHECKING:
    from pumice.fetch.session import Session
    from pumice.trust.keys import PublicKey

_MAX_KEY = 1 << 16


def is_url(text: str) -> bool:
    """Return whether a KEY of the command line is a URL."""
    return "://" in text


def redact_url(url: str) -> str:
    """Return a URL without its credentials, for messages."""
    return without_login(url)


def label_from_url(url: str) -> str:
    """Return a label for the key at a URL: the name of the file, or else of the host."""
    parts = parse_url(url)
    return parts.path.rpartition("/")[2].rpartition(".")[0] or parts.hostname or ""


def check_url(url: str, *, plain_http: bool = False) -> str:
    """Return ``url`` if a key may be fetched from it; raises UsageError.

    Without ``plain_http`` it must use https or a loopback address.
    """
    try:
        parts = parse_url(url)
    except FetchError as error:
        raise UsageError(error.message) from None
    where = without_login(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            "cannot fetch a key from this URL: not https", where=where, hint="download it and pass the file"
        )
    if not plain_http and is_unprotected(url):
        raise UsageError(
            "cannot fetch a key over http: the connection is not protected",
            where=where,
            hint="use https, or pass --insecure-allow-http and compare the fingerprint",
        )
    return url


def is_unprotected(url: str) -> bool:
    """Return whether the connection to a URL is unprotected: http to another machine."""
    parts = parse_url(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def fetch_key(url: str, session: Session) -> PublicKey:
    """Return the public key at a checked URL; raises FetchError, FormatError."""
    from pumice.trust import public_keys

    response = session.get(url, limit=_MAX_KEY, same_host=True)
    try:
        return public_keys.parse_public_key(response.body)
    except FormatError as error:
        raise FormatError(error.message, where=without_login(url), hint=error.hint) from None
