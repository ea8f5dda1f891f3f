"""The network of one pod: prepared before the pod starts, connected when its namespace exists.

An attachment is a directory below ``networks/attachments`` of the store; `keeper.records` describes it. A
program of its own, the keeper, releases the network when the pod has ended, also after ``kill -9``.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pumice.errors import SandboxError
from pumice.runtime.network import configurations, host_ports, keeper, name_resolution, user_networks
from pumice.runtime.network.directories import create_directory, release_abandoned
from pumice.runtime.network.handshake import Handshake
from pumice.runtime.network.keeper import cni, hosts, records
from pumice.runtime.network.keeper.release import SETUP_LOCK, release
from pumice.runtime.network.port_options import plan_ports
from pumice.runtime.network.support import plugin_directories

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.runtime.container import Mount
    from pumice.runtime.name_resolution import NameResolution
    from pumice.runtime.network.handshake import Connect
    from pumice.runtime.network.host_ports import PublishedPort, Reservation
    from pumice.runtime.network.request import NetworkRequest
    from pumice.runtime.network.support import Driver
    from pumice.store.home import Home

_KEEPER = str(Path(keeper.__file__).with_name("__main__.py"))


class Attachment:
    """The network of a pod that is being started. `close` it when the pod runs, or was not started."""

    def __init__(self, directory: Path, lock: int, record: dict[str, Any], reservation: Reservation) -> None:
        self.directory = directory
        self._lock = lock
        self._record = record
        self._reservation = reservation
        self._is_kept = False
        self._handshake = Handshake()
        self._steps: list[Connect] = []

    @property
    def network_fd(self) -> int:
        """The socket for the sandbox, which the process that starts it closes."""
        return self._handshake.network_fd

    @property
    def ports(self) -> tuple[PublishedPort, ...]:
        """The ports of this machine at which the pod is reachable."""
        return self._reservation.ports

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of the pod, known after `connect`; empty if they are those of this machine."""
        return tuple(self._record["addresses"])

    @property
    def has_steps(self) -> bool:
        """Whether something is done with the network after it was connected."""
        return bool(self._steps)

    def mounts(self) -> tuple[Mount, ...]:
        """Return the mounts of the files for name resolution."""
        return name_resolution.mounts(self.directory)

    def serve(self) -> None:
        """Wait until the sandbox has its network namespace, connect that, and let the program start.

        Raises SandboxError if the network cannot be set up, or if the sandbox ends before that.
        """
        self._handshake.serve(self._connect_and_continue)

    def serve_in_background(self, reasons: int) -> None:
        """Let another process do what `serve` does, and write the reason of a failure to ``reasons``.

        From then on, that process owns the attachment.
        """
        self._handshake.serve_in_background(reasons, self._connect_and_continue, self.close)
        self._is_kept = True
        self._reservation.close()  # that process has its own, and pasta binds the ports after closing those

    def add_step(self, step: Connect) -> None:
        """Do something with the process of the network namespace, after that was connected."""
        self._steps.append(step)

    def _connect_and_continue(self, process: int) -> None:
        self.connect(process)
        for step in self._steps:
            step(process)

    def connect(self, process: int) -> None:
        """Connect the network namespace of ``process``, with which the network ends; raises SandboxError."""
        end = os.pidfd_open(process)
        with (self.directory / SETUP_LOCK).open("wb") as setup:
            fcntl.flock(setup, fcntl.LOCK_EX)
            try:
                if self._record["driver"] == "cni":
                    _mount_namespace(process, self.directory / "netns")
                self._record["pid"], self._record["start"] = process, records.start_time(process)
                self._save()
                self._start_keeper(end)
                self._set_up(process, setup.fileno())
                self._save()  # before the keeper may remove the directory
            finally:
                os.close(end)
        hosts.write_hosts(str(self.directory), [self._record])
        if self._record["shares_names"]:
            hosts.rewrite_members(str(self.directory.parent), self._record["network"])

    def _set_up(self, process: int, setup_lock: int) -> None:
        driver = self._record["driver"]
        if driver == "cni":
            try:
                result = cni.add(
                    self._record, str(self.directory / "netns"), self._save, inherited=(setup_lock,)
                )
            except cni.PluginError as error:
                raise SandboxError(
                    f"cannot set up the network {self._record['network']!r}: {error}",
                    hint="use --network host or none to run without it",
                ) from None
            self._record["addresses"] = [
                str(entry.get("address", "")).partition("/")[0] for entry in result.get("ips", [])
            ]
            return
        # pasta and slirp4netns bind the ports themselves.
        self._reservation.close()
        if driver == "pasta":
            forward_dns = self._record["nameserver"] == user_networks.PASTA_NAMESERVER
            pid = user_networks.start_pasta(process, self.directory, self.ports, forward_dns=forward_dns)
        else:
            pid = user_networks.start_slirp(process, self.directory, self.ports)
            self._record["addresses"] = [user_networks.SLIRP_ADDRESS]
        self._record["helper_pid"] = pid

    def _start_keeper(self, end: int) -> None:
        sockets, listeners = self._relayed_sockets()
        subprocess.Popen(
            [sys.executable, "-I", "-S", _KEEPER, str(self.directory), str(end), *listeners],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(self._lock, end, *sockets),
            env={},
            cwd="/",
            start_new_session=True,
        ).returncode = 0  # it outlives this process
        self._is_kept = True

    def _relayed_sockets(self) -> tuple[list[int], list[str]]:
        """Return the descriptors for the keeper, and those of them that it relays with their targets.

        Rules of the firewall never forward connections to ``[::1]``. slirp4netns has no IPv6, and pasta has
        none if this machine has no route to the world with it.
        """
        is_cni = self._record["driver"] == "cni"
        if self._record["driver"] == "pasta" and user_networks.has_ipv6_route():
            return [], []
        sockets = [
            (held_socket.fileno(), port)
            for held_socket, port in self._reservation.sockets
            if is_cni or held_socket.family == socket.AF_INET6
        ]
        listeners = [
            f"{descriptor}:{port.container if is_cni else port.host}"
            for descriptor, port in sockets
            if port.protocol == "tcp"
        ]
        return [descriptor for descriptor, _ in sockets], listeners

    def _save(self) -> None:
        records.write_record(str(self.directory), self._record)

    def close(self) -> None:
        """Close the descriptors of this process; remove the attachment if the pod was not started."""
        self._handshake.close()
        self._reservation.close()
        try:
            if not self._is_kept:
                release(str(self.directory))
        finally:
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1


def _mount_namespace(process: int, target: Path) -> None:
    """Mount the network namespace of a process, so that it exists until the network is released."""
    from pumice.runtime.sandbox import syscalls

    target.touch()
    try:
        syscalls.mount(f"/proc/{process}/ns/net", str(target), None, syscalls.MS_BIND)
    except OSError as error:
        raise SandboxError(f"cannot keep the network namespace: {error.strerror}") from None


def prepare(
    home: Home,
    request: NetworkRequest,
    driver: Driver,
    *,
    hostname: str,
    names: NameResolution,
    environ: Mapping[str, str],
) -> Attachment:
    """Return a new attachment with its ports reserved; raises SandboxError if one of them is in use."""
    networks = home.directory("networks")
    attachments = networks / "attachments"
    attachments.mkdir(mode=0o700, exist_ok=True)
    release_abandoned(attachments)
    ports = plan_ports(request.publish, request.exposed, publish_all=request.publish_all)
    with ExitStack() as stack:
        reservation = stack.enter_context(closing(_reserve(attachments, ports)))
        directory, lock = create_directory(attachments)
        stack.callback(os.close, lock)
        stack.callback(release, str(directory))
        record = _new_record(directory.name, driver, request, reservation)
        record["names"] = list(dict.fromkeys((*request.names, hostname)))
        record["nameserver"] = name_resolution.write_resolver(directory, driver, names)
        name_resolution.write_hosts_base(directory, hostname, names, has_address=driver != "pasta")
        if driver == "cni":
            with home.lock("networks"):
                network = configurations.find_network(request.name, networks)
            record |= _plan_plugins(network, request, reservation, environ)
        records.write_record(str(directory), record)
        stack.pop_all()
    return Attachment(directory, lock, record, reservation)


def _new_record(
    identifier: str, driver: Driver, request: NetworkRequest, reservation: Reservation
) -> dict[str, Any]:
    return {
        "id": identifier,
        "driver": driver,
        "network": request.name,
        "shares_names": request.is_named,
        "addresses": [],
        "ports": [_describe_port(port) for port in reservation.ports],
    }


def _describe_port(port: host_ports.PublishedPort) -> dict[str, str | int]:
    return {
        "address": port.address,
        "host": port.host,
        "container": port.container,
        "protocol": port.protocol,
    }


def _plan_plugins(
    network: configurations.CniNetwork,
    request: NetworkRequest,
    reservation: Reservation,
    environ: Mapping[str, str],
) -> dict[str, Any]:
    """Return the part of a record that `cni.add` and `cni.delete` need."""
    mappings = [
        {
            "hostPort": port.host,
            "containerPort": port.container,
            "protocol": port.protocol,
            **({"hostIP": port.address} if port.address else {}),
        }
        for port in reservation.ports
        if ":" not in port.address  # the keeper forwards these
    ]
    plugins = []
    for plugin in network.plugins:
        complete = {**plugin, "name": network.name, "cniVersion": network.version}
        if plugin.get("capabilities", {}).get("portMappings"):
            if not mappings:
                continue
            complete["runtimeConfig"] = {"portMappings": mappings}
        plugins.append(complete)
    arguments = f"IgnoreUnknown=1;IP={request.address}" if request.address else "IgnoreUnknown=1"
    return {
        "plugins": plugins,
        "directories": list(plugin_directories(environ)),
        "arguments": arguments,
    }


def _reserve(attachments: Path, ports: tuple[Any, ...]) -> Reservation:
    """Reserve ports; if one is in use, wait for pods that have ended and whose network is being released."""
    try:
        return host_ports.reserve(ports)
    except SandboxError:
        if not release_abandoned(attachments, waits=True):
            raise
    return host_ports.reserve(ports)
