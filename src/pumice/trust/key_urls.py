"""Public keys from a URL: fetched once, for a person to compare the fingerprint, and never again.

The connection proves little about whose key it is, so it is only kept from making things worse: TLS with
a certificate that holds, no other host than the one that was named, and not many bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import FetchError, FormatError, UsageError
from pumice.fetch.network import split, without_login
from pumice.formats.hosts import is_loopback

if TYPE_CHECKING:
    from pumice.fetch.session import Session
    from pumice.trust.keys import PublicKey

_MAX_KEY = 1 << 16


def is_url(text: str) -> bool:
    """Say whether a KEY of the command line is to be fetched."""
    return "://" in text


def redact_url(url: str) -> str:
    """Return a URL for people: without its login."""
    return without_login(url)


def label_from_url(url: str) -> str:
    """Return what to call the key at a URL: the file's name, else the host's."""
    parts = split(url)
    return parts.path.rpartition("/")[2].rpartition(".")[0] or parts.hostname or ""


def check_url(url: str, *, plain_http: bool = False) -> str:
    """Return ``url`` if a key may be fetched from it; raises UsageError.

    Without ``plain_http`` it is https, or this machine itself.
    """
    try:
        parts = split(url)
    except FetchError as error:
        raise UsageError(error.message) from None
    where = without_login(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            "a key can be fetched by https only", where=where, hint="or save it, and give the file's name"
        )
    if not plain_http and is_unprotected(url):
        raise UsageError(
            "anybody on the way can change what comes by http",
            where=where,
            hint="use https; or say --insecure-allow-http, and compare the fingerprint all the better",
        )
    return url


def is_unprotected(url: str) -> bool:
    """Say whether others can change what comes from a URL: by http, and not from this machine."""
    parts = split(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def fetch_key(url: str, session: Session) -> PublicKey:
    """Return the one public key at a URL that was checked; raises FetchError, FormatError."""
    from pumice.trust import public_keys

    response = session.get(url, limit=_MAX_KEY, same_host=True)
    try:
        return public_keys.parse_public_key(response.body)
    except FormatError as error:
        raise FormatError(error.message, where=without_login(url), hint=error.hint) from None
