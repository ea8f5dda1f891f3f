"""The access of a pod to the metadata service, from the plan of the pod to its start.

The pod reaches its relay at a Unix socket that is mounted in it, and over TCP: at a loopback address of its
own network, where no other pod and no other user can connect, or, if it shares the network of the machine,
at a port of the machine's loopback address.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import SandboxError
from pumice.os_errors import translate_os_errors
from pumice.runtime import container_network
from pumice.runtime.container import Mount
from pumice.runtime.metadata import records, relay, service
from pumice.runtime.metadata.relay.connection import connect_to_service

if TYPE_CHECKING:
    from collections.abc import Sequence

PORT = 18112
"""The port in the network of a pod; it is the one that rkt used."""
MOUNT_POINT = "/run/pumice/metadata.sock"
"""The Unix socket in a pod."""
_RELAY = str(Path(relay.__file__).with_name("__main__.py"))
_IDLE_SECONDS = 600


class Registration:
    """The metadata access of one pod that is being started; `close` it when the pod runs or has failed."""

    def __init__(self, home: Path, uuid: str, apps: Sequence[str], *, shares_host_network: bool) -> None:
        self._home = home
        self._directory = home / "pods" / uuid
        self._uuid = uuid
        self._listener = _listen_on_loopback() if shares_host_network else None
        self._channel, self._relay_channel = socket.socketpair()
        self.tokens = {app: records.new_token() for app in apps}
        """The secrets in the URLs of the apps."""

    def environment(self, app: str) -> tuple[str, ...]:
        """Return the variables of an app (ace.md, "Execution Environment")."""
        port = self._listener.getsockname()[1] if self._listener else PORT
        return (
            f"AC_APP_NAME={app}",
            f"AC_METADATA_URL=http://127.0.0.1:{port}/{self.tokens[app]}",
            "container=pumice",
        )

    def mounts(self) -> tuple[Mount, ...]:
        """Return the mount of the Unix socket."""
        return (Mount(str(self._directory / records.SOCKET), MOUNT_POINT),)

    def start(self) -> None:
        """Start the relay, and the service if it does not run; the directory of the pod exists and is locked.

        Raises StoreError and SandboxError.
        """
        command = [
            *(sys.executable, "-I", "-m", "pumice.runtime.metadata"),
            *(str(self._home), str(_IDLE_SECONDS)),
        ]
        path = self._directory / records.SOCKET
        with translate_os_errors(path):
            listener = service.listen_unix(str(path), 0o666)
        with listener:
            listeners = (listener, *((self._listener,) if self._listener else ()))
            spawn_relay(str(self._home), self._uuid, self._directory, self._relay_channel, listeners, command)
        try:
            connect_to_service(str(self._home), command).close()
        except OSError:
            raise SandboxError(
                "the metadata service does not start", hint="run 'pumice metadata-service' to see why"
            ) from None

    def connect(self, process: int) -> None:
        """Listen on the loopback address in the network of ``process``; raises SandboxError."""
        listener = container_network.open_socket(process)
        if listener is None:
            raise SandboxError("the sandbox ended before its network was set up")
        with listener:
            try:
                listener.bind(("127.0.0.1", PORT))
                listener.listen(service.BACKLOG)
                socket.send_fds(self._channel, [b"."], [listener.fileno()])
            except OSError as error:
                raise SandboxError(
                    f"the metadata service cannot listen in the network of the pod: {error.strerror}"
                ) from None

    def close(self) -> None:
        """Close the descriptors of this process."""
        for each in (self._listener, self._channel, self._relay_channel):
            if each is not None:
                with suppress(OSError):
                    each.close()


def _listen_on_loopback() -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", 0), backlog=service.BACKLOG)
    except OSError as error:
        raise SandboxError(f"cannot listen on 127.0.0.1: {(error.strerror or 'error').lower()}") from None


def spawn_relay(
    home: str,
    uuid: str,
    directory: Path,
    channel: socket.socket,
    listeners: Sequence[socket.socket],
    service_command: Sequence[str],
) -> subprocess.Popen[bytes]:
    """Start the relay of a pod, which outlives this process; ``channel`` is as in `relay.main`."""
    descriptors = [channel.fileno(), *(listener.fileno() for listener in listeners)]
    return subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", _RELAY, home, uuid, str(directory)),
            *map(str, descriptors),
            "--",
            *service_command,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=descriptors,
        env={},
        cwd="/",
        start_new_session=True,
    )
