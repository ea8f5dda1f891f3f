"""Downloads files with retries, resumption, proxies, logins and size limits.

A session does not verify content: `indexes` and `packages` do. The same methods read ``file:`` URLs
from disk.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from pumice.clock import SystemClock
from pumice.errors import FetchError
from pumice.fetch.network_rules import NetworkRules, Route, parse_url, without_login
from pumice.fetch.transfer import CHUNK, DownloadResult, MissingError, OfflineError, Transfer, too_large_error
from pumice.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from urllib3 import BaseHTTPResponse, PoolManager

    from pumice.clock import Clock
    from pumice.distro.debian.apt_setup import AptSetup
    from pumice.fetch.transfer import Sink
    from pumice.progress import Progress
    from pumice.store.home import Home


class Session:
    """HTTP connections and their configuration; a context manager, thread-safe.

    ``home`` is the store for indexes and packages. ``machine`` has apt's proxies and logins, ``environ``
    (default: that of the process) the proxies of the environment. ``sleep`` takes seconds; tests replace it.
    """

    def __init__(
        self,
        home: Home,
        *,
        offline: bool = False,
        progress: Progress | None = None,
        clock: Clock | None = None,
        machine: AptSetup | None = None,
        environ: Mapping[str, str] | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.home = home
        self.offline = offline
        self.progress: Progress = progress or Silent()
        self.clock: Clock = clock or SystemClock()
        self.machine = machine
        self._rules = NetworkRules(machine, dict(os.environ) if environ is None else environ)
        self._sleep = sleep
        self._pools: dict[Route, PoolManager] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for pool in self._pools.values():
                pool.clear()
            self._pools.clear()

    def get(
        self, url: str, *, limit: int, etag: str = "", modified: str = "", same_host: bool = False
    ) -> DownloadResult:
        """Return the content of ``url``, at most ``limit`` bytes.

        ``etag`` and ``modified`` are those of the caller's cached copy. With ``same_host`` no redirect to
        another host is followed. Raises MissingError, FetchError, FormatError for too many bytes.
        """
        body = bytearray()
        headers = {}
        if etag:
            headers["If-None-Match"] = etag
        elif modified:
            headers["If-Modified-Since"] = modified
        download = self._download(url, body.extend, limit, headers, same_host=same_host)
        return msgspec.structs.replace(download, body=bytes(body))

    def download(self, url: str, sink: Sink, *, size: int, label: str = "") -> DownloadResult:
        """Pass the ``size`` bytes of ``url`` to ``sink``, resuming after a broken connection.

        Raises as `get`, and FetchError if there are fewer bytes. After an error the bytes passed so far
        must be discarded.
        """
        with self.progress.task(label or url.rpartition("/")[2], size) as task:
            count = 0

            def write(data: bytes) -> None:
                nonlocal count
                count += len(data)
                sink(data)
                task.advance(len(data))

            download = self._download(url, write, size, {})
            if count != size:
                raise FetchError(f"the file has {count} bytes instead of {size}", where=without_login(url))
            return download

    def _download(
        self, url: str, sink: Sink, limit: int, headers: dict[str, str], *, same_host: bool = False
    ) -> DownloadResult:
        scheme = parse_url(url).scheme
        if scheme in {"file", "copy"}:
            return self._read_file(url, sink, limit)
        if scheme not in {"http", "https"}:
            raise FetchError(
                f"cannot download from a URL with the scheme {scheme!r}", where=without_login(url)
            )
        if self.offline:
            raise OfflineError(
                "the file is not cached, and --offline does not allow downloading it",
                where=without_login(url),
            )
        return Transfer(self._request, self._sleep, url, sink, limit, headers, same_host=same_host).run()

    def _read_file(self, url: str, sink: Sink, limit: int) -> DownloadResult:
        path = unquote(parse_url(url).path)
        try:
            with Path(path).open("rb") as file:
                remaining = limit
                while data := file.read(CHUNK):
                    remaining -= len(data)
                    if remaining < 0:
                        raise too_large_error(url, limit)
                    sink(data)
        except (FileNotFoundError, NotADirectoryError):
            raise MissingError("the file does not exist", where=url) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise FetchError(f"cannot read the file: {reason}", where=url) from error
        return DownloadResult(b"")

    def _request(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """Send one request; the body of the response is not read."""
        route = self._rules.route(url)
        login = self._rules.login(url)
        request_headers = {**headers, **({"Authorization": login} if login else {})}
        return self._get_pool(route).request(
            "GET",
            without_login(url),
            headers=request_headers,
            preload_content=False,
            redirect=False,
            retries=False,
        )

    def _get_pool(self, route: Route) -> PoolManager:
        with self._lock:
            if route not in self._pools:
                self._pools[route] = _make_pool_manager(route)
            return self._pools[route]


def _make_pool_manager(route: Route) -> PoolManager:
    import urllib3

    from pumice.version import __version__

    options: dict[str, Any] = {
        "maxsize": 8,
        "headers": {"User-Agent": f"pumice/{__version__}", "Accept-Encoding": "identity"},
        "timeout": urllib3.Timeout(connect=min(route.timeout, 15.0), read=route.timeout),
        "ssl_context": _make_ssl_context(route) if route.tls else None,
    }
    if not route.verify_host:
        options["assert_hostname"] = False
    if not route.verify_peer:  # as apt is configured: a warning with every request would not help
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    if not route.proxy:
        return urllib3.PoolManager(**options)
    proxy_headers = {"Proxy-Authorization": route.proxy_login} if route.proxy_login else {}
    return urllib3.ProxyManager(route.proxy, proxy_headers=proxy_headers, **options)


def _make_ssl_context(route: Route) -> object:
    import ssl

    try:
        context = ssl.create_default_context(cafile=route.ca_file or None)
        if route.certificate:
            context.load_cert_chain(route.certificate, route.key or None)
    except OSError as error:  # SSLError is a subclass of OSError
        raise FetchError(
            f"cannot use the certificates in apt's configuration: {error}",
            hint="see Acquire::https::CAInfo, SSLCert and SSLKey",
        ) from error
    context.check_hostname = route.verify_host and route.verify_peer
    if not route.verify_peer:
        context.verify_mode = ssl.CERT_NONE
    return context
