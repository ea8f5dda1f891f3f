"""The metadata service of one store as a program: its sockets, its lock and its end.

Relays of pods connect to the Unix socket ``metadata/socket`` of the store, which only the owner of the store
can open. Others may fetch the public documents over TCP, if the service listens there. The sockets are
opened here, or by a service manager (sd_listen_fds(3)).
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import contextmanager, suppress
from typing import NamedTuple

from pumice import files
from pumice.errors import UsageError
from pumice.os_errors import translate_os_errors
from pumice.ownership import make_directories
from pumice.runtime.metadata import endpoints, records
from pumice.runtime.metadata.key_file import DIRECTORY, KeyFile
from pumice.runtime.metadata.server import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pumice.formats.http1 import Request, Response

SOCKET = "socket"
"""The name of the socket in the directory of the service."""
_LOCK = "service.lock"
_FIRST_DESCRIPTOR = 3
_MAX_DESCRIPTORS = 16
BACKLOG = 128
"""Connections that wait at a socket."""


class Sockets(NamedTuple):
    """The listening sockets: for relays of pods, and for everyone."""

    relayed: tuple[socket.socket, ...]
    public: tuple[socket.socket, ...]


def serve(
    home: str,
    *,
    listen: tuple[str, int] | None = None,
    idle_seconds: float = 0,
    environ: Mapping[str, str] | None = None,
    ready: Callable[[Sockets], object] = lambda _: None,
    log: Callable[[str], object] = lambda _: None,
) -> bool:
    """Serve the pods of the store in ``home`` until SIGTERM or SIGINT, or until it is idle.

    ``listen`` is an address for the public documents. Return False if another service runs already. Raises
    UsageError for an address or for inherited sockets that cannot be used, and StoreError.
    """
    key_file = KeyFile(home, log)
    key_file.current(int(time.time()))  # who can connect can also get a token
    with _open_sockets(home, listen, environ or {}) as sockets, stop_on_signals() as stop:
        if sockets is None:
            return False
        server = Server(
            lambda request, source: _respond(home, key_file, request, source),
            sockets.public,
            relayed=sockets.relayed,
            log=log,
        )
        ready(sockets)
        server.run(idle_seconds=idle_seconds, stop=stop)
    return True


def _respond(home: str, key_file: KeyFile, request: Request, source: str) -> Response:
    now = int(time.time())
    context = endpoints.ResponseContext(
        pod=_find_pod(home, source),
        keys=lambda: key_file.current(now),
        now=now,
        token_id=os.urandom(16).hex(),
    )
    return endpoints.respond(request, context)


def _find_pod(home: str, uuid: str) -> records.PodMetadata | None:
    """Return the running pod of a connection, None for a public connection."""
    if not records.is_uuid(uuid):
        return None
    directory = os.path.join(home, "pods", uuid)
    # The lock of the directory is held while the pod runs.
    return records.read_metadata(directory) if files.is_locked(directory, shared=True) else None


# Sockets ------------------------------------------------------------------------------------------


@contextmanager
def _open_sockets(
    home: str, listen: tuple[str, int] | None, environ: Mapping[str, str]
) -> Iterator[Sockets | None]:
    """Yield the sockets of the service, None if another one has them."""
    inherited = take_inherited(environ)
    if inherited is not None:
        yield inherited
        return
    directory = os.path.join(home, DIRECTORY)
    with translate_os_errors(directory):
        make_directories(directory, private=True)
    path = os.path.join(directory, SOCKET)
    lock = files.FileLock(os.path.join(directory, _LOCK))
    if not lock.try_acquire():
        yield None
        return
    public = (listen_tcp(*listen),) if listen else ()
    try:
        with translate_os_errors(path):
            relayed = listen_unix(path, 0o600)
        with relayed:
            yield Sockets((relayed,), public)
        with suppress(OSError):
            os.unlink(path)
    finally:
        for listener in public:
            listener.close()
        lock.release()


def take_inherited(environ: Mapping[str, str]) -> Sockets | None:
    """Return the sockets that a service manager passed to this process, None if it passed none.

    A Unix socket is for relays, any other for the public. Raises UsageError for what does not listen.
    """
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdigit() or not int(count):
        return None
    if int(count) > _MAX_DESCRIPTORS:
        raise UsageError(f"the service manager passed {int(count)} sockets", hint="pass one or two")
    relayed: list[socket.socket] = []
    public: list[socket.socket] = []
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(count)):
        os.set_inheritable(descriptor, False)
        try:
            inherited = socket.socket(fileno=descriptor)
            is_listening = inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError:
            is_listening = 0
        if not is_listening:
            raise UsageError(
                f"the descriptor {descriptor} of the service manager is not a listening socket",
                hint="use ListenStream= in the socket unit",
            )
        (relayed if inherited.family == socket.AF_UNIX else public).append(inherited)
    return Sockets(tuple(relayed), tuple(public))


def listen_unix(path: str, mode: int) -> socket.socket:
    """Return a listening Unix socket at ``path``, which replaces what is there; raises OSError.

    The path may be longer than the address of a socket.
    """
    directory, name = os.path.split(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    parent = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    previous_mask = os.umask(0o777 & ~mode)
    try:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)
        listener.bind(f"/proc/self/fd/{parent}/{name}")
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(previous_mask)
        os.close(parent)
    return listener


def listen_tcp(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket; raises UsageError. Port 0 selects a free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(
            f"cannot listen on {host[:100]}:{port}: {reason}", hint="choose another address"
        ) from None


@contextmanager
def stop_on_signals() -> Iterator[socket.socket]:
    """Yield a socket that becomes readable on SIGTERM and SIGINT."""
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        handlers = {
            number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(previous)
            for number, handler in handlers.items():
                signal.signal(number, handler)


def main(
    home: str, idle_seconds: float, *, listen: tuple[str, int] | None = None, verbose: bool = False
) -> int:
    """Run the service as a program; return the exit code. Only a ``verbose`` one writes anything."""
    from pumice.errors import PumiceError
    from pumice.terminal import printable, printable_line

    def log(message: str) -> None:
        sys.stderr.write(f"warning: {printable_line(message)}\n")
        sys.stderr.flush()

    try:
        is_served = serve(
            home,
            listen=listen,
            idle_seconds=idle_seconds,
            environ=os.environ,
            ready=_announce if verbose else lambda _: None,
            log=log if verbose else lambda _: None,
        )
        if not is_served and verbose:
            raise UsageError(
                "the metadata service of this store runs already", hint="stop it, or do without this one"
            )
    except PumiceError as error:
        sys.stderr.write(f"error: {printable(str(error))}\n")
        return error.exit_code
    return 0


def _announce(sockets: Sockets) -> None:
    for listener in sockets.public:
        host, port = listener.getsockname()[:2]
        sys.stdout.write(f"http://{f'[{host}]' if ':' in host else host}:{port}\n")
        sys.stdout.flush()
    sys.stderr.write("serving the pods of this store; press Ctrl-C to stop\n")
    sys.stderr.flush()
