"""The transport that programs use: urllib3, imported when the first request is sent."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from pumice.errors import UsageError
from pumice.formats.hosts import is_loopback
from pumice.registry.errors import shown
from pumice.registry.headers import origin
from pumice.registry.message import Response, TransportError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    from urllib3 import BaseHTTPResponse, PoolManager

    from pumice.registry.message import Body, Request

_CONNECT_SECONDS = 15.0
_READ_SECONDS = 60.0
_CONNECTIONS = 16


class Tls(msgspec.Struct, frozen=True):
    """Paths of PEM files: authorities to trust (in place of the system's), and who we are."""

    ca: str = ""
    certificate: str = ""
    key: str = ""


class Urllib3Transport:
    """HTTP/1.1 with kept connections, TLS and the environment's proxies. Safe for threads."""

    def __init__(
        self,
        tls: Tls | None = None,
        environ: Mapping[str, str] | None = None,
        tls_of: Callable[[str], Tls | None] = lambda _: None,
    ) -> None:
        """``tls_of`` says which files one ``HOST[:PORT]`` needs, None for ``tls``."""
        self._tls = tls or Tls()
        self._tls_of = tls_of
        self._environ = os.environ if environ is None else environ
        self._pools: dict[tuple[str, Tls | None, bool], PoolManager] = {}
        self._open: set[_Stream] = set()
        self._lock = threading.Lock()

    def send(self, request: Request) -> Response:
        """Send one request; see `pumice.registry.message.Transport`."""
        where = shown(request.url)
        body: Any = None  # its types know no memoryview, although whatever sockets send will do
        sent = dict(request.headers)
        if request.body is not None:
            sent["Content-Length"] = str(request.body.size)
            body = _checked(request.body) if request.body.size else b""
        elif request.method in ("POST", "PUT", "PATCH"):
            sent["Content-Length"] = "0"
        pool = self._pool(request.url, elsewhere=request.elsewhere)
        with _told(where):
            answer = pool.request(
                request.method,
                request.url,
                headers={**pool.headers, **sent},
                body=body,
                preload_content=False,
                redirect=False,
                retries=False,
            )
        stream = _Stream(answer, where, self._open.discard)
        self._open.add(stream)
        return Response(answer.status, tuple(answer.headers.items()), stream, url=request.url)

    def close(self) -> None:
        """Close all connections, also those of bodies that nobody read to their ends."""
        for stream in tuple(self._open):
            stream.close()
        with self._lock:
            for manager in self._pools.values():
                # By itself, a manager leaves its connections to the garbage collector.
                found = (manager.pools.get(key) for key in manager.pools.keys())  # noqa: SIM118
                for pool in [pool for pool in found if pool is not None]:
                    pool.close()
                manager.clear()
            self._pools.clear()

    def _pool(self, url: str, *, elsewhere: bool) -> PoolManager:
        scheme, host, _ = origin(url)
        proxy = proxy_for(scheme, host, self._environ)
        # Reading the system's authorities takes longer than a request: not where nobody shows a certificate.
        tls = (self._tls_of(urlsplit(url).netloc) or self._tls) if "https" in (scheme, proxy[:5]) else None
        with self._lock:
            key = (proxy, tls, elsewhere and not proxy)  # a proxy of this machine is no address of it
            if key not in self._pools:
                self._pools[key] = self._made(*key)
            return self._pools[key]

    def _made(self, proxy: str, tls: Tls | None, elsewhere: bool) -> PoolManager:
        import urllib3

        from pumice.registry.strict import POOLS, POOLS_ELSEWHERE
        from pumice.version import __version__

        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS)
        agent = {"User-Agent": f"pumice/{__version__}", "Accept-Encoding": "identity"}
        context = None if tls is None else _context(tls)
        parts = urllib3.util.parse_url(proxy)
        login = urllib3.make_headers(proxy_basic_auth=parts.auth) if parts.auth else {}
        options: dict[str, Any] = {
            "maxsize": _CONNECTIONS,
            "headers": agent,
            "timeout": timeout,
            "ssl_context": context,
            "blocksize": 1 << 20,
        }
        try:
            made = (
                urllib3.ProxyManager(parts._replace(auth=None).url, proxy_headers=login, **options)
                if proxy
                else urllib3.PoolManager(**options)
            )
        except urllib3.exceptions.HTTPError as error:
            raise UsageError(
                f"the environment's proxy cannot be used ({error})", hint="see https_proxy"
            ) from None
        made.pool_classes_by_scheme = dict(POOLS_ELSEWHERE if elsewhere else POOLS)
        return made


class _Stream:
    """A body that is still coming."""

    def __init__(self, answer: BaseHTTPResponse, where: str, closed: Callable[[_Stream], object]) -> None:
        self._answer = answer
        self._where = where
        self._closed = closed

    def read(self, size: int, /) -> bytes:
        with _told(self._where):
            return self._answer.read(size, decode_content=False)

    def close(self) -> None:
        """Give the connection back if all was read, else end it."""
        self._closed(self)
        if getattr(self._answer, "length_remaining", None) == 0:
            self._answer.release_conn()
        else:
            self._answer.close()


def _checked(body: Body) -> Iterator[bytes | memoryview]:
    """The body's chunks; exactly as many bytes as were announced, or the connection would be confused."""
    left = body.size
    for chunk in body.chunks():
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise UsageError("what is being sent has another size than was announced")


class _told:  # noqa: N801 - reads as the function that it would be, without its cost for every piece read
    """Turns what urllib3 raises into TransportErrors."""

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        from urllib3.exceptions import HTTPError, LocationParseError

        if isinstance(error, LocationParseError):
            raise TransportError("the address cannot be asked", where=self._where, lasting=True) from error
        if isinstance(error, HTTPError | OSError):
            raise _trouble(error, self._where) from error


def _trouble(error: Exception, where: str) -> TransportError:
    from urllib3 import exceptions

    if isinstance(error, exceptions.SSLError):
        plain = "WRONG_VERSION_NUMBER" in str(error) or "record layer" in str(error)
        return TransportError(
            "the registry does not speak TLS"
            if plain
            else f"its certificate is not accepted ({_short(error)})",
            where=where,
            hint="--plain-http asks without TLS" if plain else "--ca FILE trusts another authority",
            lasting=True,
        )
    sentences: list[tuple[type[Exception], str]] = [
        (exceptions.NameResolutionError, "the host's name cannot be resolved"),
        (exceptions.ProxyError, "the proxy does not let it through"),
        (exceptions.NewConnectionError, "no connection can be made"),
        (exceptions.ConnectTimeoutError, "connecting takes too long"),
        (exceptions.ReadTimeoutError, "the registry does not answer"),
        (exceptions.ProtocolError, "the connection was cut"),
        (OSError, "the connection was cut"),
    ]
    sentence = next((text for kind, text in sentences if isinstance(error, kind)), _short(error))
    return TransportError(sentence, where=where, hint="check the network, the name and the proxy")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _context(tls: Tls) -> ssl.SSLContext:
    import ssl

    file = tls.ca
    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
        if file := tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key or None)
    except OSError as error:  # SSLError is one, and so is a missing file
        found = isinstance(error, ssl.SSLError)
        sentence = (
            "has no certificate, or no key that fits it" if found else f"cannot be read: {_reason(error)}"
        )
        raise UsageError(f"the file {sentence}", where=file, hint="see --ca, --cert and --key") from error
    return context


def _reason(error: OSError) -> str:
    return (error.strerror or "it is damaged").lower()


def proxy_for(scheme: str, host: str, environ: Mapping[str, str]) -> str:
    """Return the environment's proxy for a host as a URL, "" for none (curl's rules)."""
    if is_loopback(host):
        return ""
    excepted = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    for item in excepted.replace(",", " ").lower().split():
        domain = item.removeprefix("*").lstrip(".")
        if item == "*" or host == domain or host.endswith(f".{domain}"):
            return ""
    # HTTP_PROXY can be set from outside where a program runs as CGI.
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    found = next((environ[name] for name in names if name != "HTTP_PROXY" and environ.get(name)), "")
    return found if not found or "://" in found else f"http://{found}"
