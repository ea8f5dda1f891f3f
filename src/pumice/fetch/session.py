"""Everything that is downloaded comes through here: retries, resumption, proxies, logins, limits.

A session does not know what it fetches; whether the bytes can be trusted is for `indexes` and
`packages` to find out. ``file:`` URLs are read from the disk by the same calls.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from pumice.clock import SystemClock
from pumice.errors import FetchError
from pumice.fetch.network_rules import Route, Rules, split, without_login
from pumice.fetch.transfer import CHUNK, Answer, MissingError, OfflineError, Transfer, too_large
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
    """Connections, and the rules for making them; a context manager, safe for threads.

    ``home`` is where indexes and packages are kept. ``machine`` gives apt's proxies and logins,
    ``environ`` (default: the process's) the proxies of the environment.
    ``pause`` waits a number of seconds (tests pass their own).
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
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self.home = home
        self.offline = offline
        self.progress: Progress = progress or Silent()
        self.clock: Clock = clock or SystemClock()
        self.machine = machine
        self._rules = Rules(machine, dict(os.environ) if environ is None else environ)
        self._pause = pause
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
    ) -> Answer:
        """Return what is at ``url``, at most ``limit`` bytes.

        ``etag`` and ``modified`` are of a copy that the caller has. With ``same_host`` no redirection
        to another host is followed. Raises MissingError, FetchError,
        FormatError for more than ``limit`` bytes.
        """
        body = bytearray()
        headers = {}
        if etag:
            headers["If-None-Match"] = etag
        elif modified:
            headers["If-Modified-Since"] = modified
        answer = self._download(url, body.extend, limit, headers, same_host=same_host)
        return msgspec.structs.replace(answer, body=bytes(body))

    def download(self, url: str, sink: Sink, *, size: int, label: str = "") -> Answer:
        """Pass the ``size`` bytes at ``url`` to ``sink``, resuming where a connection broke.

        Raises as `get`, and FetchError if there are fewer bytes. What was passed before an error
        is worthless.
        """
        with self.progress.task(label or url.rpartition("/")[2], size) as task:
            count = 0

            def take(data: bytes) -> None:
                nonlocal count
                count += len(data)
                sink(data)
                task.advance(len(data))

            answer = self._download(url, take, size, {})
            if count != size:
                raise FetchError(f"the file has {count} bytes instead of {size}", where=without_login(url))
            return answer

    def _download(
        self, url: str, sink: Sink, limit: int, headers: dict[str, str], *, same_host: bool = False
    ) -> Answer:
        scheme = split(url).scheme
        if scheme in {"file", "copy"}:
            return self._read_file(url, sink, limit)
        if scheme not in {"http", "https"}:
            raise FetchError(f"mirrors of the kind {scheme}: are not supported", where=without_login(url))
        if self.offline:
            raise OfflineError("it is not here, and --offline forbids to fetch it", where=without_login(url))
        return Transfer(self._request, self._pause, url, sink, limit, headers, same_host=same_host).run()

    def _read_file(self, url: str, sink: Sink, limit: int) -> Answer:
        path = unquote(split(url).path)
        try:
            with Path(path).open("rb") as file:
                remaining = limit
                while data := file.read(CHUNK):
                    remaining -= len(data)
                    if remaining < 0:
                        raise too_large(url, limit)
                    sink(data)
        except (FileNotFoundError, NotADirectoryError):
            raise MissingError("there is no such file", where=url) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise FetchError(f"the file cannot be read: {reason}", where=url) from error
        return Answer(b"")

    def _request(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """Ask once; the answer's body is still to be read."""
        route = self._rules.route(url)
        login = self._rules.login(url)
        sent = {**headers, **({"Authorization": login} if login else {})}
        return self._pool(route).request(
            "GET", without_login(url), headers=sent, preload_content=False, redirect=False, retries=False
        )

    def _pool(self, route: Route) -> PoolManager:
        with self._lock:
            if route not in self._pools:
                self._pools[route] = _make_pool(route)
            return self._pools[route]


def _make_pool(route: Route) -> PoolManager:
    import urllib3

    from pumice.version import __version__

    options: dict[str, object] = {
        "maxsize": 8,
        "headers": {"User-Agent": f"pumice/{__version__}", "Accept-Encoding": "identity"},
        "timeout": urllib3.Timeout(connect=min(route.timeout, 15.0), read=route.timeout),
        "ssl_context": _tls(route) if route.tls else None,
    }
    if not route.verify_host:
        options["assert_hostname"] = False
    if not route.verify_peer:  # apt's configuration says so: a warning at each request helps nobody
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    if not route.proxy:
        return urllib3.PoolManager(**options)  # type: ignore[arg-type]
    proxy_headers = {"Proxy-Authorization": route.proxy_login} if route.proxy_login else {}
    return urllib3.ProxyManager(route.proxy, proxy_headers=proxy_headers, **options)  # type: ignore[arg-type]


def _tls(route: Route) -> object:
    import ssl

    try:
        context = ssl.create_default_context(cafile=route.ca_file or None)
        if route.certificate:
            context.load_cert_chain(route.certificate, route.key or None)
    except OSError as error:  # SSLError is one, and so is a missing file
        raise FetchError(
            f"the certificates of apt's configuration cannot be used: {error}",
            hint="see Acquire::https::CAInfo, SSLCert and SSLKey",
        ) from error
    context.check_hostname = route.verify_host and route.verify_peer
    if not route.verify_peer:
        context.verify_mode = ssl.CERT_NONE
    return context
