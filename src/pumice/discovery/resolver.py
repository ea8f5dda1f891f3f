"""Runs the discovery protocol over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.discovery import protocol
from pumice.errors import FetchError
from pumice.registry.message import TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.discovery.page_cache import PageCache
    from pumice.discovery.protocol import Discovery, PageResponse
    from pumice.discovery.session import DiscoverySession
    from pumice.discovery.web import Web
    from pumice.progress import Progress


def resolve(
    name: str,
    labels: Mapping[str, str],
    web: Web,
    session: DiscoverySession,
    *,
    images: bool = True,
    keys: bool = True,
) -> Discovery:
    """Discover a name; raises UsageError, FetchError."""
    exchange = protocol.discover(name, labels, port=session.port, images=images, keys=keys)
    try:
        request = next(exchange)
        while True:
            web.begin(request.url)
            request = exchange.send(_get_page(request.url, web, session.pages, session.progress))
    except StopIteration as stop:
        discovery: Discovery = stop.value
        return discovery


def _get_page(url: str, web: Web, pages: PageCache, progress: Progress) -> PageResponse:
    try:
        return pages.get(web, url)
    except TransportError as error:
        if not web.allow_http or not url.startswith("https:"):
            raise FetchError(error.message, where=error.where, hint=error.hint) from None
    plain_url = url.replace("https:", "http:", 1)
    progress.warn(f"{plain_url}: the connection is not protected (--tls-verify=false)")
    try:
        return pages.get(web, plain_url)
    except TransportError as error:
        raise FetchError(error.message, where=error.where, hint=error.hint) from None
