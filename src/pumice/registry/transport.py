"""The default transport: urllib3, imported when the first request is sent."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
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
    """How TLS connections are made: paths of PEM files, and whether certificates are verified.

    ``ca`` has trusted CAs instead of the system's. ``directory`` has further CAs (``*.crt``) and client
    certificates (``*.cert``, ``*.key``), as in containers-certs.d(5). ``verify``: False accepts every
    certificate and registries without TLS, True uses TLS for this machine's own addresses too.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""
    directory: str = ""
    verify: bool | None = None


class AddressRule(NamedTuple):
    """Which addresses a connection must not lead to; see `pumice.registry.message.Request`."""

    refuse_local: bool = False
    refuse_private: bool = False


class Urllib3Transport:
    """HTTP/1.1 with persistent connections, TLS and the proxies of the environment. Thread-safe."""

    def __init__(
        self,
        tls: TlsFiles | None = None,
        environ: Mapping[str, str] | None = None,
        tls_for: Callable[[str], TlsFiles | None] = lambda _: None,
        *,
        peer: str = "registry",
    ) -> None:
        """``tls_for`` returns the files for a ``HOST[:PORT]``, None for ``tls``.

        ``peer`` is what error messages call the other side.
        """
        self._peer = peer
        self._tls = tls or TlsFiles()
        self._tls_for = tls_for
        self._environ = os.environ if environ is None else environ
        self._pools: dict[tuple[str, TlsFiles | None, AddressRule], PoolManager] = {}
        self._open: set[_ResponseStream] = set()
        self._lock = threading.Lock()

    def send(self, request: Request) -> Response:
        """Send one request; see `pumice.registry.message.Transport`."""
        where = redact_url(request.url)
        body: Any = None  # urllib3's types lack memoryview, which it can send
        request_headers = dict(request.headers)
        if request.body is not None:
            request_headers["Content-Length"] = str(request.body.size)
            body = _checked_chunks(request.body) if request.body.size else b""
        elif request.method in ("POST", "PUT", "PATCH"):
            request_headers["Content-Length"] = "0"
        rule = AddressRule(request.refuse_local_address, request.refuse_private_address)
        pool = self._pool_manager(request.url, rule)
        with _translate_errors(where, self._peer):
            response = pool.request(
                request.method,
                request.url,
                headers={**pool.headers, **request_headers},
                body=body,
                preload_content=False,
                redirect=False,
                retries=False,
            )
        stream = _ResponseStream(response, where, self._peer, self._open.discard)
        self._open.add(stream)
        # A connection to a proxy does not tell the address of the server.
        connection = getattr(response, "connection", None)
        peer = "" if pool.proxy else getattr(connection, "peer_address", "")
        return Response(response.status, tuple(response.headers.items()), stream, url=request.url, peer=peer)

    def close(self) -> None:
        """Close all connections, including those with unread responses."""
        for stream in tuple(self._open):
            stream.close()
        with self._lock:
            for manager in self._pools.values():
                # PoolManager.clear leaves the connections to the garbage collector.
                for key in list(manager.pools.keys()):  # the container cannot be iterated itself
                    if pool := manager.pools.get(key):
                        pool.close()
                manager.clear()
            self._pools.clear()

    def _pool_manager(self, url: str, rule: AddressRule) -> PoolManager:
        scheme, host, _ = origin(url)
        proxy = proxy_for(scheme, host, self._environ)
        # Loading the system's CAs takes longer than a request: only do so for TLS.
        tls = (self._tls_for(urlsplit(url).netloc) or self._tls) if "https" in (scheme, proxy[:5]) else None
        with self._lock:
            key = (proxy, tls, AddressRule() if proxy else rule)  # a local proxy is allowed
            if key not in self._pools:
                self._pools[key] = self._new_pool_manager(*key)
            return self._pools[key]

    def _new_pool_manager(self, proxy: str, tls: TlsFiles | None, rule: AddressRule) -> PoolManager:
        import urllib3

        from pumice.registry.strict_http import find_pools
        from pumice.version import __version__

        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS)
        default_headers = {"User-Agent": f"pumice/{__version__}", "Accept-Encoding": "identity"}
        context = None if tls is None else _ssl_context(tls)
        if tls is not None and tls.verify is False:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # the user asked for it
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
                f"cannot use the proxy of the environment: {error}", hint="check https_proxy"
            ) from None
        manager.pool_classes_by_scheme = find_pools(*rule)
        return manager


class _ResponseStream:
    """The body of a response."""

    def __init__(
        self,
        response: BaseHTTPResponse,
        where: str,
        peer: str,
        on_close: Callable[[_ResponseStream], object],
    ) -> None:
        self._response = response
        self._where = where
        self._peer = peer
        self._on_close = on_close

    def read(self, size: int, /) -> bytes:
        with _translate_errors(self._where, self._peer):
            return self._response.read(size, decode_content=False)

    def close(self) -> None:
        """Return the connection to the pool if the body was read, otherwise close it."""
        self._on_close(self)
        if getattr(self._response, "length_remaining", None) == 0:
            self._response.release_conn()
        else:
            self._response.close()


def _checked_chunks(body: Body) -> Iterator[bytes | memoryview]:
    """Yield the chunks of a body; raises UsageError unless they have the announced size."""
    remaining = body.size
    for chunk in body.chunks():
        remaining -= len(chunk)
        if remaining < 0:
            break
        yield chunk
    if remaining:
        raise UsageError("the content to upload does not have the announced size")


class _translate_errors:  # noqa: N801 - used like a function; a generator would cost more per read
    """Translates exceptions of urllib3 to TransportErrors."""

    __slots__ = ("_peer", "_where")

    def __init__(self, where: str, peer: str) -> None:
        self._where = where
        self._peer = peer

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        from urllib3.exceptions import HTTPError, LocationParseError

        if isinstance(error, LocationParseError):
            raise TransportError("the URL is not valid", where=self._where, is_permanent=True) from error
        if isinstance(error, HTTPError | OSError):
            raise _transport_error(error, self._where, self._peer) from error


def _transport_error(error: Exception, where: str, peer: str) -> TransportError:
    from urllib3 import exceptions

    if isinstance(error, exceptions.SSLError):
        is_plain_http = "WRONG_VERSION_NUMBER" in str(error) or "record layer" in str(error)
        return TransportError(
            f"the {peer} does not support TLS"
            if is_plain_http
            else f"cannot verify the certificate of the {peer} ({_one_line(error)})",
            where=where,
            hint="use --tls-verify=false to connect without TLS"
            if is_plain_http
            else "use --ca FILE to trust another CA, or --tls-verify=false to trust any certificate",
            is_permanent=True,
        )
    sentences: list[tuple[type[Exception], str]] = [
        (exceptions.NameResolutionError, "cannot resolve the host name"),
        (exceptions.ProxyError, "the proxy refused the connection"),
        (exceptions.NewConnectionError, "cannot connect"),
        (exceptions.ConnectTimeoutError, "connecting timed out"),
        (exceptions.ReadTimeoutError, f"the {peer} does not respond"),
        (exceptions.ProtocolError, "the connection was closed unexpectedly"),
        (OSError, "the connection was closed unexpectedly"),
    ]
    sentence = next((text for kind, text in sentences if isinstance(error, kind)), _one_line(error))
    return TransportError(sentence, where=where, hint="check the network, the host name and the proxy")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _ssl_context(tls: TlsFiles) -> ssl.SSLContext:
    import ssl

    file = tls.ca
    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
        if file := tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key or None)
        if file := tls.directory:
            for file in _certificate_files(tls.directory):
                if file.endswith(".crt"):
                    context.load_verify_locations(file)
                else:
                    context.load_cert_chain(file, f"{file.removesuffix('.cert')}.key")
    except OSError as error:  # SSLError is a subclass of OSError
        is_tls_error = isinstance(error, ssl.SSLError)
        reason = "no certificate, or no matching key" if is_tls_error else _reason(error)
        raise UsageError(
            f"cannot load the TLS file: {reason}", where=file, hint="check --ca and --cert-dir"
        ) from error
    if tls.verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _certificate_files(directory: str) -> list[str]:
    """Return the certificates in a directory: authorities (``.crt``), then the client's (``.cert``)."""
    names = sorted(path.name for path in Path(directory).iterdir())
    for name in names:
        for suffix, other in ((".cert", ".key"), (".key", ".cert")):
            partner = name.removesuffix(suffix) + other
            if name.endswith(suffix) and partner not in names:
                raise UsageError(f"{name} has no {partner}", where=directory, hint="check --cert-dir")
    return [
        str(Path(directory, name)) for suffix in (".crt", ".cert") for name in names if name.endswith(suffix)
    ]


def _reason(error: OSError) -> str:
    return (error.strerror or "it is damaged").lower()


def proxy_for(scheme: str, host: str, environ: Mapping[str, str]) -> str:
    """Return the URL of the environment's proxy for a host, "" for none (by curl's rules)."""
    if is_loopback(host):
        return ""
    no_proxy = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    for item in no_proxy.replace(",", " ").lower().split():
        domain = item.removeprefix("*").lstrip(".")
        if item == "*" or host == domain or host.endswith(f".{domain}"):
            return ""
    # A CGI server sets HTTP_PROXY from a header of the request.
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    proxy = next((environ[name] for name in names if name != "HTTP_PROXY" and environ.get(name)), "")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"
