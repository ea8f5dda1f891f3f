"""A cache of discovery pages (RFC 9111): how long a page is fresh, and asking whether it has changed.

Only what the server marks with ``max-age`` or a validator is kept, and for a day at most.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from pumice import digest
from pumice.decoding import decode_msgpack
from pumice.discovery.pages import MAX_HEAD
from pumice.discovery.protocol import PageResponse
from pumice.discovery.web import Reach

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.discovery.web import Web
    from pumice.registry.message import Header, Response
    from pumice.store.home import Home

_KIND = "discovery"
_MAX_AGE = 86_400
_SECONDS = re.compile(r"max-age\s*=\s*\"?([0-9]{1,9})", re.IGNORECASE)


class Freshness(msgspec.Struct, frozen=True):
    """Until when a response may be used without asking again, and what to ask with."""

    expires: float = 0.0
    etag: str = ""
    modified: str = ""

    def is_fresh(self, now: float) -> bool:
        """Return whether the response may be used; a clock that was set back makes it stale."""
        return now < self.expires <= now + _MAX_AGE

    def validators(self) -> tuple[Header, ...]:
        """Return the headers of a conditional request."""
        if self.etag:
            return (("If-None-Match", self.etag),)
        return (("If-Modified-Since", self.modified),) if self.modified else ()

    def renew(self, newer: Freshness | None) -> Freshness:
        """Return the freshness after the status 304, which may not name the validators again."""
        if newer is None:
            return msgspec.structs.replace(self, expires=0.0)
        return Freshness(newer.expires, newer.etag or self.etag, newer.modified or self.modified)


def read_freshness(response: Response, now: float) -> Freshness | None:
    """Return how a response may be cached, None if it must not be."""
    control = response.header("Cache-Control").lower()
    if "no-store" in control:
        return None
    match = _SECONDS.search(control)
    seconds = int(match[1]) if match and "no-cache" not in control else 0
    age = response.header("Age").strip()
    seconds -= int(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0
    return Freshness(
        expires=now + min(seconds, _MAX_AGE) if seconds > 0 else 0.0,
        etag=response.header("ETag")[:1024],
        modified=response.header("Last-Modified")[:100],
    )


class _CachedPage(msgspec.Struct, frozen=True):
    """A page with the status 200. ``reach`` is that of its host, which is not connected to again."""

    url: str
    content: bytes
    freshness: Freshness
    reach: int


class PageCache:
    """Discovery pages of a store."""

    def __init__(self, home: Home, clock: Callable[[], float]) -> None:
        """``clock`` returns seconds since the epoch."""
        self._home = home
        self._clock = clock

    def get(self, web: Web, url: str) -> PageResponse:
        """Return a page, from the cache if it is fresh or unchanged; raises FetchError, TransportError."""
        if web.allow_http:  # whoever sent the page must not decide later, when TLS is verified again
            page = web.get(url, limit=MAX_HEAD)
            return PageResponse(page.status, page.content, page.url)
        key = digest.of(url.encode())
        cached = self._load(key)
        if cached is not None and cached.freshness.is_fresh(self._clock()) and web.allows(cached.reach):
            if web.reach is None:
                web.reach = Reach(cached.reach)
            return PageResponse(200, cached.content, cached.url, is_cached=True)
        validators = cached.freshness.validators() if cached is not None else ()
        page = web.get(url, limit=MAX_HEAD, extra=validators)
        if page.status == 304 and cached is not None and validators:
            renewed = cached.freshness.renew(read_freshness(page.headers, self._clock()))
            self._store(key, msgspec.structs.replace(cached, freshness=renewed))
            return PageResponse(200, cached.content, cached.url, is_cached=True)
        if page.status == 200:
            freshness = read_freshness(page.headers, self._clock())
            if freshness is not None and (freshness.expires or freshness.validators()):
                reach = web.reach if web.reach is not None else Reach.PUBLIC
                self._store(key, _CachedPage(page.url, page.content, freshness, int(reach)))
        return PageResponse(page.status, page.content, page.url)

    def _load(self, key: str) -> _CachedPage | None:
        data = self._home.records.get(_KIND, key)
        try:
            return None if data is None else decode_msgpack(data, _CachedPage)
        except msgspec.MsgspecError:  # written by another version of Pumice
            return None

    def _store(self, key: str, page: _CachedPage) -> None:
        self._home.records.put(_KIND, key, msgspec.msgpack.encode(page))
