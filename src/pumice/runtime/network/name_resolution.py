"""The files for name resolution in a pod with its own network: ``/etc/hosts`` and ``/etc/resolv.conf``."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.formats.lines import split_lines
from pumice.runtime.name_resolution import make_resolv_conf
from pumice.runtime.network import user_networks
from pumice.runtime.network.keeper import hosts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pumice.runtime.container import Mount
    from pumice.runtime.name_resolution import NameResolution
    from pumice.runtime.network.support import Driver

_HOSTS, _RESOLVER = Path("/etc/hosts"), Path("/etc/resolv.conf")
_SYSTEMD_RESOLVER = Path("/run/systemd/resolve/resolv.conf")
"""The servers that systemd-resolved asks; its own address is on the loopback of this machine."""
_RESOLVER_COPY = "resolv.conf"
_MAX_SIZE = 1 << 20


def write_hosts_base(directory: Path, hostname: str, names: NameResolution, *, has_address: bool) -> None:
    """Write the hosts of an attachment: added ones, loopback, and those of this machine elsewhere.

    Without an address of its own, the pod's name is a loopback address.
    """
    lines = [
        *(f"{address}\t{name}" for address, name in names.hosts),
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        *_foreign_lines(_read(_HOSTS)),
    ]
    if not has_address:
        lines.append(f"127.0.1.1\t{hostname}")
    text = "".join(f"{line}\n" for line in lines)
    for name in (hosts.BASE, hosts.HOSTS):
        path = directory / name
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        path.chmod(0o644)


def _foreign_lines(text: str) -> Iterator[str]:
    """Yield the lines of a hosts file whose address is not a loopback address."""
    for line in split_lines(text):
        fields = line.partition("#")[0].split()
        with suppress(ValueError, IndexError):
            address = ipaddress.ip_address(fields[0])
            is_for_machine = address.is_loopback or address.is_multicast or address.is_link_local
            if len(fields) > 1 and not is_for_machine:
                yield "\t".join(fields)


def write_resolver(directory: Path, driver: Driver, names: NameResolution) -> str:
    """Write the resolver configuration of an attachment; return the nameserver that the driver provides.

    A nameserver on the loopback of this machine cannot be reached from a network of its own.
    """
    text = make_resolv_conf(names) if names.replaces_servers else _read(_RESOLVER)
    provided = ""
    if names.servers or not names.copies_host:
        pass  # the user decides
    elif driver == "slirp4netns":
        provided = user_networks.SLIRP_NAMESERVER
    elif not _reachable_servers(text):
        if _reachable_servers(_read(_SYSTEMD_RESOLVER)):
            text = _read(_SYSTEMD_RESOLVER)
        elif driver == "pasta":
            provided = user_networks.PASTA_NAMESERVER
    lines = [line for line in split_lines(text) if not line.lstrip().startswith("nameserver")]
    servers = [provided] if provided else names.servers or _reachable_servers(text)
    lines += [f"nameserver {server}" for server in servers]
    path = directory / _RESOLVER_COPY
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape")
    path.chmod(0o644)
    return provided


def _reachable_servers(text: str) -> list[str]:
    return [server for server in _servers(split_lines(text)) if not _is_loopback(server)]


def _servers(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        fields = line.split()
        if len(fields) >= 2 and fields[0] == "nameserver":
            yield fields[1]


def _is_loopback(server: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    return False


def mounts(directory: Path) -> tuple[Mount, ...]:
    """Return the mounts of the files of an attachment."""
    from pumice.runtime.container import Mount

    return (
        Mount(str(directory / _RESOLVER_COPY), "/etc/resolv.conf", read_only=True),
        Mount(str(directory / hosts.HOSTS), "/etc/hosts", read_only=True),
    )


def _read(path: Path) -> str:
    with suppress(OSError), path.open(encoding="utf-8", errors="surrogateescape") as file:
        return file.read(_MAX_SIZE)
    return ""
