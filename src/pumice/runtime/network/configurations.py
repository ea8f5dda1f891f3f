"""The configurations of CNI networks, and the network that Pumice defines itself.

Network configuration lists (``.conflist``) and single configurations (``.conf``) are read from
``networks/net.d`` of the store and from ``/etc/pumice/net.d``. A network that none defines is created in the
store, with a bridge of its own and a subnet that this machine does not use.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.errors import FormatError, SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM_DIRECTORY = Path("/etc/pumice/net.d")
_OTHER_DIRECTORIES = (Path("/etc/cni/net.d"), Path("/etc/containers/networks"))
"""Where podman and others define networks, whose subnets are avoided."""
_FOREIGN_SUBNETS = ("10.88.0.0/16", "10.89.0.0/16", "172.17.0.0/16", "192.168.122.0/24")
"""What podman, docker and libvirt use by default, even while they do not run."""
_POOL = "10.96.0.0/12"
_MAX_SIZE = 1 << 20
_SUFFIXES = (".conflist", ".conf", ".json")


class CniNetwork(msgspec.Struct, frozen=True):
    """A network configuration list: its name, its version of CNI and its plugins."""

    name: str
    version: str
    plugins: tuple[dict[str, Any], ...]


def find_network(name: str, directory: Path) -> CniNetwork:
    """Return the network ``name``, which is created if nothing defines it.

    ``directory`` is that of the networks in the store. Raises FormatError for an invalid file, and
    SandboxError if no subnet is free.
    """
    for path in _files((directory / "net.d", SYSTEM_DIRECTORY)):
        network = read_configuration(path)
        if network.name == name:
            return network
    return _create(name, directory)


def _files(directories: tuple[Path, ...]) -> Iterator[Path]:
    for directory in directories:
        with suppress(OSError):
            yield from sorted(path for path in directory.iterdir() if path.suffix in _SUFFIXES)


def read_configuration(path: Path) -> CniNetwork:
    """Return the network that a file defines; raises FormatError."""
    try:
        with path.open("rb") as file:
            document = msgspec.json.decode(file.read(_MAX_SIZE))
    except (OSError, msgspec.MsgspecError) as error:
        raise FormatError(f"cannot read the network: {error}", where=str(path)) from None
    if not isinstance(document, dict) or not isinstance(document.get("name"), str):
        raise FormatError("the network has no name", where=str(path))
    plugins = document.get("plugins", [document])
    if not isinstance(plugins, list) or not plugins or not all(_is_plugin(plugin) for plugin in plugins):
        raise FormatError("the network has no list of plugins, each with a type", where=str(path))
    return CniNetwork(document["name"], str(document.get("cniVersion", "0.4.0")), tuple(plugins))


def _is_plugin(plugin: object) -> bool:
    return isinstance(plugin, dict) and isinstance(plugin.get("type"), str) and "/" not in plugin["type"]


def _create(name: str, directory: Path) -> CniNetwork:
    from pumice import files

    subnet = _choose_subnet(f"{directory}/{name}")
    identity = hashlib.sha256(f"{directory}/{name}".encode()).hexdigest()[:8]
    plugins = (
        {
            "type": "bridge",
            "bridge": f"pumice{identity}",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": str(subnet)}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": str(directory / "addresses"),
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
        {"type": "firewall"},
    )
    network = CniNetwork(name, "0.4.0", plugins)
    folder = directory / "net.d"
    folder.mkdir(mode=0o755, exist_ok=True)
    document = {"cniVersion": network.version, "name": name, "plugins": list(plugins)}
    files.replace(
        str(folder / f"{name}.conflist"), msgspec.json.format(msgspec.json.encode(document), indent=2)
    )
    return network


def _choose_subnet(seed: str) -> ipaddress.IPv4Network:
    """Return a subnet of the pool that overlaps no route and no other network of this machine.

    The first candidate depends on ``seed``, so that two stores rarely choose the same one.
    """
    used = [*map(ipaddress.IPv4Network, _FOREIGN_SUBNETS), *_routes(), *_configured_subnets()]
    pool = ipaddress.IPv4Network(_POOL)
    count = pool.num_addresses >> 8
    first = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big") % count
    for offset in range(count):
        start = int(pool.network_address) + ((first + offset) % count << 8)
        subnet = ipaddress.IPv4Network((start, 24))
        if not any(subnet.overlaps(other) for other in used):
            return subnet
    raise SandboxError(
        f"every subnet of {_POOL} is in use",
        hint=f"define a network in {SYSTEM_DIRECTORY}, or use --network host",
    )


def _routes() -> Iterator[ipaddress.IPv4Network]:
    """Yield the destinations of this machine's routes, but the default route."""
    with suppress(OSError), Path("/proc/net/route").open() as file:
        next(file, "")
        for line in file:
            with suppress(ValueError, IndexError):
                fields = line.split()
                address, mask = (struct.pack("=I", int(fields[index], 16)) for index in (1, 7))
                if any(mask):
                    yield ipaddress.IPv4Network(
                        f"{socket.inet_ntoa(address)}/{socket.inet_ntoa(mask)}", strict=False
                    )


def _configured_subnets() -> Iterator[ipaddress.IPv4Network]:
    """Yield the subnets in the network configurations of this machine."""
    for path in _files((SYSTEM_DIRECTORY, *_OTHER_DIRECTORIES)):
        with suppress(OSError, msgspec.MsgspecError):
            yield from _subnets_in(msgspec.json.decode(path.read_bytes()[:_MAX_SIZE]))


def _subnets_in(value: object) -> Iterator[ipaddress.IPv4Network]:
    if isinstance(value, dict):
        if isinstance(value.get("subnet"), str):
            with suppress(ValueError):
                yield ipaddress.IPv4Network(value["subnet"], strict=False)
        value = list(value.values())
    if isinstance(value, list):
        for member in value:
            yield from _subnets_in(member)
