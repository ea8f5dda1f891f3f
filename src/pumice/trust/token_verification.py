"""Verification of the tokens of one issuer, whose published keys are fetched when they are needed.

The issuer is a URL with an OpenID configuration (OpenID Connect Discovery 1.0, 4), or a file with its keys:
what ``pumice identity keys`` prints, a JWKS document with the additional member ``issuer``.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pumice import files
from pumice.errors import FetchError, FormatError, PumiceError, StoreError, UsageError
from pumice.formats import jwt, strictjson
from pumice.trust import key_urls

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pumice.clock import Clock
    from pumice.formats.jwt import VerificationKey

    FetchDocument = Callable[[str, int], bytes]
    """Returns the document at a URL with at most that many bytes; raises FetchError and FormatError."""

_REFRESH_SECONDS = 300
_RETRY_SECONDS = 10
"""Time after which keys are fetched again: always, and because of an unknown key or a failure."""
_MAX_AGE_SECONDS = 3600
"""How long keys are used that cannot be fetched again."""
_CONFIGURATION = "/.well-known/openid-configuration"


class IssuerKeys(NamedTuple):
    """An issuer and the keys that it publishes."""

    issuer: str
    keys: tuple[VerificationKey, ...]


class TokenVerifier:
    """Verifies tokens; safe for threads. `verify` may fetch the keys of the issuer."""

    def __init__(self, load: Callable[[], IssuerKeys], audiences: Collection[str], clock: Clock) -> None:
        """``load`` reads the keys, see `key_loader`; ``audiences`` are those that a token may be for."""
        self._load = load
        self._audiences = frozenset(audiences)
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: IssuerKeys | None = None
        self._loaded = 0
        self._tried = 0

    def verify(self, token: str) -> dict[str, Any]:
        """Return the claims of a token.

        Raises TrustError if it is not valid, FormatError if it is not a token, and what loading the keys
        raises if there are none.
        """
        now = self._clock.now()
        keys = self._current(now, _REFRESH_SECONDS)
        try:
            return self._verify(token, keys, now)
        except jwt.UnknownKeyError:
            newer = self._current(now, _RETRY_SECONDS)
            if newer is keys:
                raise
        return self._verify(token, newer, now)

    def _verify(self, token: str, keys: IssuerKeys, now: int) -> dict[str, Any]:
        return jwt.verify_token(token, keys.keys, jwt.Expectation(keys.issuer, self._audiences), now)

    def _current(self, now: int, max_age: int) -> IssuerKeys:
        """Return the keys; load them if they are older than ``max_age``, unless that was just tried.

        While one thread loads them, the others use those that there are.
        """
        if not self._lock.acquire(blocking=self._keys is None) and self._keys is not None:
            return self._keys
        try:
            is_fresh = self._keys is not None and now - self._loaded < max_age
            is_usable = self._keys is not None and now - self._loaded < _MAX_AGE_SECONDS
            if self._keys is not None and (is_fresh or (is_usable and now - self._tried < _RETRY_SECONDS)):
                return self._keys
            self._tried = now
            try:
                self._keys = self._load()
                self._loaded = now
            except PumiceError:
                if self._keys is None or not is_usable:
                    raise
            return self._keys
        finally:
            self._lock.release()


def key_loader(source: str, fetch: FetchDocument) -> Callable[[], IssuerKeys]:
    """Return what loads the keys of the issuer ``source``, a URL or a file; raises UsageError."""
    if not key_urls.is_url(source):
        return lambda: read_keys(source)
    _check_url(source)
    return lambda: fetch_keys(source.rstrip("/"), fetch)


def read_keys(path: str) -> IssuerKeys:
    """Return the issuer and the keys in a file; raises StoreError and FormatError."""
    try:
        with files.open_regular(path) as file:
            data = file.read(jwt.MAX_KEY_SET + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise StoreError(
            f"cannot read the keys of the issuer: {reason}", where=str(Path(path))[:200]
        ) from None
    document = strictjson.read_object(data, "key set", limit=jwt.MAX_KEY_SET)
    issuer = document.get("issuer")
    if not isinstance(issuer, str) or not issuer:
        raise FormatError(
            "the key set does not name its issuer",
            where=path[:200],
            hint="write it with 'pumice identity keys', or add a member \"issuer\"",
        )
    return IssuerKeys(issuer, jwt.read_key_set(data))


def fetch_keys(url: str, fetch: FetchDocument) -> IssuerKeys:
    """Return the keys of the issuer at ``url``; raises FetchError, FormatError and UsageError."""
    where = url + _CONFIGURATION
    document = strictjson.read_object(fetch(where, jwt.MAX_KEY_SET), "configuration", limit=jwt.MAX_KEY_SET)
    if document.get("issuer") != url:
        raise FormatError(f"the issuer calls itself {str(document.get('issuer'))[:200]!r}", where=where)
    location = document.get("jwks_uri")
    if not isinstance(location, str):
        raise FormatError("the configuration has no 'jwks_uri'", where=where)
    if _is_downgrade(url, location):
        raise FetchError("refusing to fetch keys over http for an issuer that has https", where=where)
    _check_url(location)
    return IssuerKeys(url, jwt.read_key_set(fetch(location, jwt.MAX_KEY_SET)))


def _is_downgrade(url: str, location: str) -> bool:
    return url.startswith("https:") and not location.startswith("https:")


def _check_url(url: str) -> None:
    try:
        key_urls.check_url(url)
    except UsageError:
        raise UsageError(
            f"{url[:200]!r} is not the URL of an issuer: it must be https, or http on this machine",
            hint="pass the file of its keys instead",
        ) from None
