"""Runs a registry server: opens its storage and socket, serves, collects garbage, and shuts down."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import resource
import signal
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec

from pumice import installation, terminal
from pumice.errors import PumiceError, UsageError
from pumice.registry.server.access import Access, Policy
from pumice.registry.server.access_log import AccessLog
from pumice.registry.server.app import App, Options
from pumice.registry.server.collection import collect
from pumice.registry.server.fetches import Fetches
from pumice.registry.server.password_checks import PasswordChecks
from pumice.registry.server.proxy import Proxy
from pumice.registry.server.storage.backends import open_storage
from pumice.registry.server.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from typing import BinaryIO

    from pumice.clock import Clock
    from pumice.registry.server.offer import Offer
    from pumice.registry.server.storage.protocol import Storage
    from pumice.registry.server.upstream import Upstream

_BACKLOG = 1024
_THREADS = 8
_FETCH_THREADS = 16
"""Blobs that are fetched from an upstream registry at once."""
_BUFFER_SIZE = 256 << 10
"""Maximum size of request headers, and of one read or write; smaller ones wake threads up too often."""

_log = terminal.get_logger("pumice.registry.server")


class Settings(msgspec.Struct, frozen=True):
    """The configuration of a server."""

    location: str
    """Where the data is; see `storage.backends`."""
    host: str
    port: int
    policy: Policy
    options: Options = Options()
    tls: tuple[Path, Path] | None = None
    """The files of the certificate chain and of its private key."""
    collect_hours: float = 24
    """Time between two collections of garbage; 0 for none."""
    grace_hours: float = 168
    """Time for which a collection spares what is not needed."""
    stop_seconds: int = 10
    """Time for requests in progress to end when the server is stopped."""
    header_seconds: float = 10
    fresh_seconds: float = 60
    """How long tags of an upstream registry are served without asking it again."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address; raises UsageError for an invalid one."""
    return all(ipaddress.ip_address(info[4][0]).is_loopback for info in _resolve_address(host, 0))


def listen(host: str, port: int) -> socket.socket:
    """Return a listener socket; raises UsageError. Port 0 selects a free port."""
    family, _, _, _, address = _resolve_address(host, port)[0]
    try:
        return socket.create_server(
            address[:2], family=family, backlog=_BACKLOG, dualstack_ipv6=False, reuse_port=False
        )
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        hint = "use port 0 to select a free port"
        if error.errno == errno.EACCES:
            hint = f"ports below 1024 need privileges; try --listen {host}:5000"
        raise UsageError(f"cannot listen on {host}:{port}: {reason}", hint=hint) from None


def _resolve_address(host: str, port: int) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise UsageError(f"{host[:100]!r} is not an address of this machine") from None


def server_url(listener: socket.socket, *, tls: bool) -> str:
    """Return the URL of the server."""
    host, port = listener.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def check_tls(certificate: Path, key: Path) -> None:
    """Check that a certificate and key can be used; raises UsageError."""
    for path in (certificate, key):
        try:
            path.open("rb").close()
        except OSError as error:
            raise UsageError((error.strerror or str(error)).lower(), where=str(path)) from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError):
        raise UsageError(
            "not a PEM certificate with its private key", where=f"{certificate}, {key}"
        ) from None


def serve(
    settings: Settings,
    *,
    clock: Clock,
    ready: Callable[[str], None],
    log_file: BinaryIO | None = None,
    refuse_offer: Callable[[Offer], str | None] | None = None,
    upstream: Upstream | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; requests in progress then get ``stop_seconds`` to end.

    ``ready`` is called with the URL once connections are accepted. ``refuse_offer`` returns why a manifest
    is not accepted. Raises UsageError, StoreError.
    """
    _check_installed()
    _raise_open_files_limit()
    with contextlib.ExitStack() as stack:
        storage = stack.enter_context(open_storage(settings.location))
        listener = stack.enter_context(listen(settings.host, settings.port))
        app = _make_app(settings, storage, log_file, refuse_offer, upstream, stack)
        url = server_url(listener, tls=settings.tls is not None)
        is_finished = _run(_serve_requests(settings, app, storage, listener, clock, lambda: ready(url)))
    if not is_finished or upstream is not None:  # do not wait for slow clients or a slow upstream
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _check_installed() -> None:
    """Raise UsageError if the packages of the server are missing, before anything is opened."""
    try:
        import granian  # noqa: F401 - only its presence matters here
    except ImportError:
        hint = f"install them: {installation.command_for_extra('serve')}"
        raise UsageError("cannot run a registry: its Python packages are not installed", hint=hint) from None


def _make_app(
    settings: Settings,
    storage: Storage,
    log_file: BinaryIO | None,
    refuse_offer: Callable[[Offer], str | None] | None,
    upstream: Upstream | None,
    stack: contextlib.ExitStack,
) -> App:
    """Return the application; ``stack`` closes what it holds."""
    pool = stack.enter_context(ThreadPoolExecutor(_THREADS, "registry"))
    access = Access(settings.policy, os.urandom(16))
    passwords = PasswordChecks(access)
    stack.callback(passwords.close)
    log = None
    if log_file is not None:
        log = AccessLog(log_file)
        stack.callback(log.close)
    return App(
        storage,
        access,
        threads=Threads(pool),
        passwords=passwords,
        options=settings.options,
        log=log,
        proxy=None if upstream is None else _proxy(upstream, storage, settings, stack),
        refuse_offer=refuse_offer,
    )


def _proxy(upstream: Upstream, storage: Storage, settings: Settings, stack: contextlib.ExitStack) -> Proxy:
    """Return the proxy for an upstream registry, with threads of its own because it may be slow."""
    lookups = ThreadPoolExecutor(_THREADS, "lookups")
    fetches = ThreadPoolExecutor(_FETCH_THREADS, "fetches")
    proxy = Proxy(
        storage,
        upstream,
        Threads(lookups),
        Fetches(storage, upstream, Threads(fetches)),
        settings.fresh_seconds,
    )
    for pool in (lookups, fetches):
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
    stack.callback(proxy.stop)
    return proxy


def _run(main: Coroutine[Any, Any, bool]) -> bool:
    try:
        import uvloop
    except ImportError:  # not available on all platforms; the standard event loop works too
        return asyncio.run(main)
    return uvloop.run(main)


async def _serve_requests(
    settings: Settings,
    app: App,
    storage: Storage,
    listener: socket.socket,
    clock: Clock,
    ready: Callable[[], None],
) -> bool:
    """Run the engine until a signal; return whether all requests in progress have ended."""
    engine = _engine(settings, app, listener)
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, engine.stop)
    tasks = [loop.create_task(app.watch())]
    if settings.collect_hours:
        tasks.append(loop.create_task(_collect_periodically(settings, app, storage, clock)))
    ready()
    try:
        await engine.serve()
    except TimeoutError:
        return False
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return True


def _engine(settings: Settings, app: App, listener: socket.socket) -> Any:
    from granian._granian import SocketHolder
    from granian.constants import HTTPModes, Interfaces, SSLProtocols
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    class Engine(Server):
        """Granian on an existing socket, so that a busy port is an error and port 0 is known."""

        def _init_shared_socket(self) -> None:
            self._ssp = None
            self._shd = socket_holder

    listener.setblocking(False)
    create_holder: Any = SocketHolder  # its type hints lack the parameters
    socket_holder: Any = create_holder(os.dup(listener.fileno()), False, _BACKLOG)  # it closes the duplicate
    certificate, key = settings.tls or (None, None)
    engine = Engine(
        app.serve,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=_BACKLOG,
        http1_settings=HTTP1Settings(
            header_read_timeout=int(settings.header_seconds * 1000), max_buffer_size=_BUFFER_SIZE
        ),
        log_enabled=False,
        ssl_cert=certificate,
        ssl_key=key,
        ssl_protocol_min=SSLProtocols.tls12,
    )
    engine.workers_kill_timeout = settings.stop_seconds
    return engine


async def _collect_periodically(settings: Settings, app: App, storage: Storage, clock: Clock) -> None:
    """Collect garbage at regular intervals; runs as long as the server does."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(settings.collect_hours * 3600)
        try:
            await loop.run_in_executor(None, collect, storage, clock.now(), int(settings.grace_hours * 3600))
        except (PumiceError, OSError) as error:
            _log.error("cannot collect garbage: %s", error)
        finally:
            app.clear_cache()


def _raise_open_files_limit() -> None:
    """Allow as many open files as possible: each connection is one, and each response may be another."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
