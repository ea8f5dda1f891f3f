"""The transport that programs use: urllib3, imported when the first request is sent."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from pumice.errors import UsageError
from pumice.formats.hosts import is_loopback
from pumice.registry.errors import redact_url
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


class TlsFiles(msgspec.Struct, frozen=True):
    """Paths of PEM files: authorities to trust (in place of the system's), and who we are."""

    ca: str = ""
    certificate: str = ""
    key: str = ""


class Urllib3Transport:
    """HTTP/1.1 with kept connections, TLS and the environment's proxies. Safe for threads."""

    def __init__(
        self,
        tls: TlsFiles | None = None,
        environ: Mapping[str, str] | None = None,
        tls_for: Callable[[str], TlsFiles | None] = lambda _: None,
    ) -> None:
        """``tls_of`` says which files one ``HOST[:PORT]`` needs, None for ``tls``."""
        self._tls = tls or TlsFiles()
        self._tls_for = tls_for
        self._environ = os.environ if environ is None else environ
        self._pools: dict[tuple[str, TlsFiles | None, bool], PoolManager] = {}
        self._open: set[_ResponseStream] = set()
        self._lock = threading.Lock()

    def send(self, request: Request) -> Response:
        """Send one request; see `pumice.registry.message.Transport`."""
        where = redact_url(request.url)
        body: Any = None  # its types know no memoryview, although whatever sockets send will do
        request_headers = dict(request.headers)
        if request.body is not None:
            request_headers["Content-Length"] = str(request.body.size)
            body = _checked_chunks(request.body) if request.body.size else b""
        elif request.method in ("POST", "PUT", "PATCH"):
            request_headers["Content-Length"] = "0"
        pool = self._pool_manager(request.url, refuse_local_address=request.refuse_local_address)
        with _translate_errors(where):
            response = pool.request(
                request.method,
                request.url,
                headers={**pool.headers, **request_headers},
                body=body,
                preload_content=False,
                redirect=False,
                retries=False,
            )
        stream = _ResponseStream(response, where, self._open.discard)
        self._open.add(stream)
        return Response(response.status, tuple(response.headers.items()), stream, url=request.url)

    def close(self) -> None:
        """Close all connections, also those of bodies that nobody read to their ends."""
        for stream in tuple(self._open):
            stream.close()
        with self._lock:
            for manager in self._pools.values():
                # By itself, a manager leaves its connections to the garbage collector.
                pools = (manager.pools.get(key) for key in manager.pools.keys())  # noqa: SIM118
                for pool in [pool for pool in pools if pool is not None]:
                    pool.close()
                manager.clear()
            self._pools.clear()

    def _pool_manager(self, url: str, *, refuse_local_address: bool) -> PoolManager:
        scheme, host, _ = origin(url)
        proxy = proxy_for(scheme, host, self._environ)
        # Reading the system's authorities takes longer than a request: not where nobody shows a certificate.
        tls = (self._tls_for(urlsplit(url).netloc) or self._tls) if "https" in (scheme, proxy[:5]) else None
        with self._lock:
            key = (
                proxy,
                tls,
                refuse_local_address and not proxy,
            )  # a proxy of this machine is no address of it
            if key not in self._pools:
                self._pools[key] = self._new_pool_manager(*key)
            return self._pools[key]

    def _new_pool_manager(self, proxy: str, tls: TlsFiles | None, refuse_local_address: bool) -> PoolManager:
        import urllib3

        from pumice.registry.strict_http import NON_LOCAL_POOLS, POOLS
        from pumice.version import __version__

        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS)
        default_headers = {"User-Agent": f"pumice/{__version__}", "Accept-Encoding": "identity"}
        context = None if tls is None else _ssl_context(tls)
        proxy_url = urllib3.util.parse_url(proxy)
        proxy_headers = urllib3.make_headers(proxy_basic_auth=proxy_url.auth) if proxy_url.auth else {}
        options: dict[str, Any] = {
            "maxsize": _CONNECTIONS,
            "headers": default_headers,
            "timeout": timeout,
            "ssl_context": context,
            "blocksize": 1 << 20,
        }
        try:
            manager = (
                urllib3.ProxyManager(
                    proxy_url._replace(auth=None).url, proxy_headers=proxy_headers, **options
                )
                if proxy
                else urllib3.PoolManager(**options)
            )
        except urllib3.exceptions.HTTPError as error:
            raise UsageError(
                f"the environment's proxy cannot be used ({error})", hint="see https_proxy"
            ) from None
        manager.pool_classes_by_scheme = dict(NON_LOCAL_POOLS if refuse_local_address else POOLS)
        return manager


class _ResponseStream:
    """A body that is still coming."""

    def __init__(
        self, response: BaseHTTPResponse, where: str, on_close: Callable[[_ResponseStream], object]
    ) -> None:
        self._response = response
        self._where = where
        self._on_close = on_close

    def read(self, size: int, /) -> bytes:
        with _translate_errors(self._where):
            return self._response.read(size, decode_content=False)

    def close(self) -> None:
        """Give the connection back if all was read, else end it."""
        self._on_close(self)
        if getattr(self._response, "length_remaining", None) == 0:
            self._response.release_conn()
        else:
            self._response.close()


def _checked_chunks(body: Body) -> Iterator[bytes | memoryview]:
    """The body's chunks; exactly as many bytes as were announced, or the connection would be confused."""
    remaining = body.size
    for chunk in body.chunks():
        remaining -= len(chunk)
        if remaining < 0:
            break
        yield chunk
    if remaining:
        raise UsageError("what is being sent has another size than was announced")


class _translate_errors:  # noqa: N801 - reads as the function that it would be, without its cost for every piece read
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
            raise TransportError(
                "the address cannot be asked", where=self._where, is_permanent=True
            ) from error
        if isinstance(error, HTTPError | OSError):
            raise _transport_error(error, self._where) from error


def _transport_error(error: Exception, where: str) -> TransportError:
    from urllib3 import exceptions

    if isinstance(error, exceptions.SSLError):
        is_plain_http = "WRONG_VERSION_NUMBER" in str(error) or "record layer" in str(error)
        return TransportError(
            "the registry does not speak TLS"
            if is_plain_http
            else f"its certificate is not accepted ({_one_line(error)})",
            where=where,
            hint="--plain-http asks without TLS" if is_plain_http else "--ca FILE trusts another authority",
            is_permanent=True,
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
    sentence = next((text for kind, text in sentences if isinstance(error, kind)), _one_line(error))
    return TransportError(sentence, where=where, hint="check the network, the name and the proxy")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _ssl_context(tls: TlsFiles) -> ssl.SSLContext:
    import ssl

    file = tls.ca
    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
        if file := tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key or None)
    except OSError as error:  # SSLError is one, and so is a missing file
        is_tls_error = isinstance(error, ssl.SSLError)
        sentence = (
            "has no certificate, or no key that fits it"
            if is_tls_error
            else f"cannot be read: {_reason(error)}"
        )
        raise UsageError(f"the file {sentence}", where=file, hint="see --ca, --cert and --key") from error
    return context


def _reason(error: OSError) -> str:
    return (error.strerror or "it is damaged").lower()


def proxy_for(scheme: str, host: str, environ: Mapping[str, str]) -> str:
    """Return the environment's proxy for a host as a URL, "" for none (curl's rules)."""
    if is_loopback(host):
        return ""
    no_proxy = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    for item in no_proxy.replace(",", " ").lower().split():
        domain = item.removeprefix("*").lstrip(".")
        if item == "*" or host == domain or host.endswith(f".{domain}"):
            return ""
    # HTTP_PROXY can be set from outside where a program runs as CGI.
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    proxy = next((environ[name] for name in names if name != "HTTP_PROXY" and environ.get(name)), "")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"
