"""The access of a pod to the metadata service, from the plan of the pod to its start.

The pod reaches its relay at a Unix socket that is mounted in it, and over TCP: at a loopback address of its
own network, where no other pod and no other user can connect, or, if it shares the network of the machine,
at a port of the machine's loopback address.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from pumice.errors import SandboxError
from pumice.formats import appc_manifests
from pumice.os_errors import translate_os_errors
from pumice.runtime import container_network
from pumice.runtime.container import Mount
from pumice.runtime.launch.execution import Network
from pumice.runtime.metadata import records, reification, relay, service
from pumice.runtime.metadata.command import service_command
from pumice.runtime.metadata.records import AppMetadata, PodMetadata
from pumice.runtime.metadata.relay.connection import connect_to_service
from pumice.runtime.network.handshake import Handshake
from pumice.runtime.network.request import NONE
from pumice.runtime.run_options import MetadataRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.formats.oci import ImageConfig
    from pumice.runtime.app_container.adoption import AdoptedApp
    from pumice.runtime.container import Container
    from pumice.runtime.network.attachment import Attachment
    from pumice.runtime.run_options import PodOptions

PORT = 18112
"""The port in the network of a pod; it is the one that rkt used."""
MOUNT_POINT = "/run/pumice/metadata.sock"
"""The Unix socket in a pod."""
_RELAY = str(Path(relay.__file__).with_name("__main__.py"))
_IDLE_SECONDS = 600


class RelaySockets(NamedTuple):
    """The relay of a pod: its command, its listening sockets, and where one more comes from."""

    channel: int
    listeners: tuple[int, ...]
    command: tuple[str, ...]


class Registration:
    """The metadata access of one pod that is being started; `close` it when the pod runs or has failed."""

    def __init__(self, home: Path, pod: PodOptions, attachment: Attachment | None) -> None:
        """``attachment`` is that of the pod to a private network, None without one."""
        self._home = home
        self._pod = pod
        self._directory = home / "pods" / pod.id
        self._service_command = service_command(home, _IDLE_SECONDS)
        self._channel, self._relay_channel = socket.socketpair()
        self._handshake: Handshake | None = None
        self._listener: socket.socket | None = None
        self._attachment = attachment
        self._volume_names = reification.name_pod_volumes(pod.volumes)
        self._volumes = reification.describe_pod_volumes(pod.volumes, self._volume_names)
        self._isolators = b"[]"
        self._apps: dict[str, tuple[AppMetadata, dict[str, Any]]] = {}
        if attachment is not None:
            attachment.add_step(self.connect)
        elif pod.network and pod.network.mode == NONE:
            self._handshake = Handshake()
        else:
            self._listener = _listen_on_loopback()

    def add_app(
        self, image: tuple[ImageConfig, str, str], app: AdoptedApp, container: Container
    ) -> Container:
        """Register an app, and return its container with access to the service.

        ``image`` is the config of its image, its reference and the digest of its manifest.
        """
        config, reference, digest = image
        name = appc_manifests.choose_name(app.name or appc_manifests.name_app(reference), self._apps)
        if app.image is not None:
            manifest, image_id = msgspec.to_builtins(app.image.manifest), app.image.image_id
        else:
            manifest = appc_manifests.make_image_manifest(config, reference, digest)
            image_id = appc_manifests.image_id(manifest)
        runtime_app, volumes = reification.describe_app(
            config, app, container, self._volume_names, {volume["name"] for volume in self._volumes}
        )
        self._volumes += volumes
        self._isolators = app.options.pod_isolators or self._isolators
        token = records.new_token()
        metadata = AppMetadata(token, reference, digest, image_id, manifest)
        self._apps[name] = (metadata, runtime_app)
        return self._give_access(container, name, token)

    def _give_access(self, container: Container, name: str, token: str) -> Container:
        """Return a container with the socket and the variables of an app (ace.md)."""
        port = self._listener.getsockname()[1] if self._listener else PORT
        variables = {
            "AC_APP_NAME": name,
            "AC_METADATA_URL": f"http://127.0.0.1:{port}/{token}",
            "container": "pumice",
        }
        process = msgspec.structs.replace(
            container.process, environment={**container.process.environment, **variables}
        )
        mount = Mount(str(self._directory / records.SOCKET), MOUNT_POINT)
        container = msgspec.structs.replace(container, process=process, mounts=(*container.mounts, mount))
        if self._handshake is None:
            return container
        # A network of its own that nobody connects: loopback is all that there is, as without the service.
        return msgspec.structs.replace(container, network="private")

    @property
    def network(self) -> Network | None:
        """How a network that nobody else connects gets the service, None if there is no such network."""
        if self._handshake is None:
            return None
        handshake = self._handshake
        return Network(handshake.network_fd, lambda: handshake.serve(self.connect))

    def files(self, name: str) -> dict[str, bytes]:
        """Return the file that registers the pod of this name, for its directory."""
        ports = self._attachment.ports if self._attachment else ()
        manifest = appc_manifests.make_pod_manifest(
            {
                app: (entry[0].image_manifest, entry[1], entry[0].image_id)
                for app, entry in self._apps.items()
            },
            annotations=self._pod.annotations or self._pod.labels,
            volumes=self._volumes,
            isolators=msgspec.json.decode(self._isolators),
            ports=reification.describe_ports(ports, (entry[1] for entry in self._apps.values())),
        )
        request = self._pod.metadata or MetadataRequest()
        pod = PodMetadata(
            self._pod.id,
            name,
            manifest,
            {app: entry[0] for app, entry in self._apps.items()},
            request.audiences,
        )
        return {records.FILE: records.encode_metadata(pod)}

    def open_relay(self) -> RelaySockets:
        """Return the relay, for the supervisor of the pod, whose directory exists and is locked.

        The caller closes the descriptors. Raises StoreError.
        """
        path = self._directory / records.SOCKET
        with translate_os_errors(path):
            listeners = [service.listen_unix(str(path), 0o666).detach()]
        if self._listener is not None:
            listeners.append(self._listener.detach())
        command = relay_command(self._home, self._pod.id, self._directory, self._service_command)
        return RelaySockets(self._relay_channel.detach(), tuple(listeners), command)

    def start(self, reasons: int) -> None:
        """Start the service if it does not run, and connect the network of the pod when it exists.

        Another process writes the reason of a later failure to ``reasons``. Raises SandboxError.
        """
        try:
            connect_to_service(str(self._home), self._service_command).close()
        except OSError:
            raise SandboxError(
                "the metadata service does not start", hint="run 'pumice metadata-service' to see why"
            ) from None
        if self._handshake is not None:
            self._handshake.serve_in_background(reasons, self.connect, self.close)

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
        for each in (self._listener, self._channel, self._relay_channel, self._handshake):
            if each is not None:
                each.close()


def _listen_on_loopback() -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", 0), backlog=service.BACKLOG)
    except OSError as error:
        raise SandboxError(f"cannot listen on 127.0.0.1: {(error.strerror or 'error').lower()}") from None


def relay_command(
    home: Path, pod_id: str, directory: Path, service_command: Sequence[str]
) -> tuple[str, ...]:
    """Return the command of a pod's relay, without the descriptors of its listeners before ``--``."""
    relay_words = (sys.executable, "-I", "-S", _RELAY, str(home), pod_id, str(directory))
    return (*relay_words, "--", *service_command)
