"""The life of a server: its address, its storage, its requests, its collections of garbage, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import resource
import signal
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pumice import terminal
from pumice.errors import PumiceError, UsageError
from pumice.registry.server.access import Access, Policy
from pumice.registry.server.accesslog import AccessLog
from pumice.registry.server.app import App, Options
from pumice.registry.server.collect import collect
from pumice.registry.server.fetches import Fetches
from pumice.registry.server.password_checks import PasswordChecks
from pumice.registry.server.proxy import Proxy
from pumice.registry.server.storage.disk.storage import open_storage
from pumice.registry.server.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import BinaryIO

    from pumice.clock import Clock
    from pumice.registry.server.storage.disk.storage import Storage
    from pumice.registry.server.upstream import Upstream
    from pumice.registry.server.writes import Offer

_BACKLOG = 1024
_THREADS = 8
_FETCHES = 16
"""Blobs that are fetched from an upstream registry at once."""
_HEADER_BYTES = 256 << 10
"""Also what is received, and sent, at once: with less, time goes into waking threads up."""

_log = terminal.get_logger("pumice.registry.server")


class Settings(msgspec.Struct, frozen=True):
    """Everything that is decided before a server starts. Hours of 0 mean never."""

    root: Path
    host: str
    port: int
    policy: Policy
    options: Options = Options()
    tls: tuple[Path, Path] | None = None
    collect_hours: float = 24
    grace_hours: float = 168
    stop_seconds: int = 10
    header_seconds: float = 10
    fresh_seconds: float = 60
    """How long a tag of an upstream registry is believed without asking again."""


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach an address; raises UsageError for one that is none."""
    return all(ipaddress.ip_address(item[4][0]).is_loopback for item in _resolved(host, 0))


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises UsageError. Port 0 is any that is free."""
    family, _, _, _, address = _resolved(host, port)[0]
    try:
        return socket.create_server(
            address[:2], family=family, backlog=_BACKLOG, dualstack_ipv6=False, reuse_port=False
        )
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(
            f"cannot listen on {host}:{port}: {reason}", hint="port 0 takes any that is free"
        ) from None


def _resolved(host: str, port: int) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise UsageError(f"{host[:100]!r} is no address of this machine") from None


def url_of(listening: socket.socket, *, tls: bool) -> str:
    """Return where the server is reached."""
    host, port = listening.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def check_tls(certificate: Path, key: Path) -> None:
    """Refuse a certificate and key that cannot be used, with UsageError, before anything starts."""
    for path in (certificate, key):
        try:
            path.open("rb").close()
        except OSError as error:
            raise UsageError((error.strerror or str(error)).lower(), where=str(path)) from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError):
        raise UsageError(
            "this is no PEM certificate with the key that fits it", where=f"{certificate}, {key}"
        ) from None


def serve(
    settings: Settings,
    *,
    clock: Clock,
    ready: Callable[[str], None],
    log_file: BinaryIO | None = None,
    accept: Callable[[Offer], str | None] | None = None,
    upstream: Upstream | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; what is in flight then gets ``stop_seconds`` to end.

    ``ready`` is called with the URL once connections are taken. Raises UsageError, StoreError.
    """
    try:
        import granian  # noqa: F401 - only to say early that it is missing
    except ImportError:
        hint = "pip install 'pumice[serve]'"
        raise UsageError("the server's parts are not installed", hint=hint) from None
    _raise_limit()
    with contextlib.ExitStack() as stack:
        storage = stack.enter_context(open_storage(settings.root))
        listening = stack.enter_context(listen(settings.host, settings.port))
        pool = stack.enter_context(ThreadPoolExecutor(_THREADS, "registry"))
        access = Access(settings.policy, os.urandom(16))
        passwords = PasswordChecks(access)
        stack.callback(passwords.close)
        log = None
        if log_file is not None:
            log = AccessLog(log_file)
            stack.callback(log.close)
        app = App(
            storage,
            access,
            threads=Threads(pool),
            passwords=passwords,
            options=settings.options,
            log=log,
            proxy=None if upstream is None else _proxy(upstream, storage, settings, stack),
            accept=accept,
        )
        url = url_of(listening, tls=settings.tls is not None)
        finished = _run(_live(settings, app, storage, listening, clock, lambda: ready(url)))
    if not finished or upstream is not None:  # a client, or the upstream, is slow: nobody waits for it
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _proxy(upstream: Upstream, storage: Storage, settings: Settings, stack: contextlib.ExitStack) -> Proxy:
    """Return what asks another registry, with threads of its own: it may be slow, and is not waited for."""
    lookups = ThreadPoolExecutor(_THREADS, "lookups")
    fetches = ThreadPoolExecutor(_FETCHES, "fetches")
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
    except ImportError:  # where it does not exist, the loop of the standard library does as well
        return asyncio.run(main)
    return uvloop.run(main)


async def _live(
    settings: Settings,
    app: App,
    storage: Storage,
    listening: socket.socket,
    clock: Clock,
    ready: Callable[[], None],
) -> bool:
    """Run the engine until a signal; return whether everything in flight came to its end."""
    engine = _engine(settings, app, listening)
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, engine.stop)
    tasks = [loop.create_task(app.watch())]
    if settings.collect_hours:
        tasks.append(loop.create_task(_collecting(settings, app, storage, clock)))
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


def _engine(settings: Settings, app: App, listening: socket.socket) -> Any:
    from granian._granian import SocketHolder
    from granian.constants import HTTPModes, Interfaces, SSLProtocols
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    class Engine(Server):
        """Granian on a socket of ours: so that a busy port is an error, and port 0 can be told."""

        def _init_shared_socket(self) -> None:
            self._ssp = None
            self._shd = held

    listening.setblocking(False)
    holder: Any = SocketHolder  # its types do not tell what it takes
    held: Any = holder(os.dup(listening.fileno()), False, _BACKLOG)  # which it closes
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
            header_read_timeout=int(settings.header_seconds * 1000), max_buffer_size=_HEADER_BYTES
        ),
        log_enabled=False,
        ssl_cert=certificate,
        ssl_key=key,
        ssl_protocol_min=SSLProtocols.tls12,
    )
    engine.workers_kill_timeout = settings.stop_seconds
    return engine


async def _collecting(settings: Settings, app: App, storage: Storage, clock: Clock) -> None:
    """Collect garbage now and then, as long as the server lives."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(settings.collect_hours * 3600)
        try:
            await loop.run_in_executor(None, collect, storage, clock.now(), int(settings.grace_hours * 3600))
        except (PumiceError, OSError) as problem:
            _log.error("garbage was not collected: %s", problem)
        finally:
            app.forget()


def _raise_limit() -> None:
    """Allow as many open files as this process may: each connection is one, and each answer another."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
