"""Several machines in one network: a namespace each, joined by a bridge."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from tests.support.peers import absent, need


class Host(NamedTuple):
    """A machine: ``prefix`` are the words before a command that runs on it."""

    address: str
    prefix: tuple[str, ...]

    @property
    def url_host(self) -> str:
        """The address as URLs have it."""
        return f"[{self.address}]" if ":" in self.address else self.address


@contextmanager
def network(count: int, *, ipv6: bool = False) -> Iterator[list[Host]]:
    """Yield ``count`` machines with addresses in one network; skip the test if that needs root.

    With ``ipv6`` they have no others.
    """
    if os.geteuid() != 0:
        absent("only root can make a network of several machines")
    program = need("ip")
    with ExitStack() as stack:
        switch = stack.enter_context(_namespace())
        _run(*switch, program, "link", "add", "bridge0", "type", "bridge")
        _run(*switch, program, "link", "set", "bridge0", "up")
        hosts = []
        for number in range(1, count + 1):
            prefix = stack.enter_context(_namespace())
            pid = prefix[1].removeprefix("--target=")
            port = f"port{number}"
            _run(*switch, program, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", pid)
            _run(*switch, program, "link", "set", port, "master", "bridge0", "up")
            address = f"2001:db8::{number}" if ipv6 else f"203.0.113.{number}"
            for device in ("lo", "eth0"):
                _run(*prefix, program, "link", "set", device, "up")
            options = ("/64", "dev", "eth0", "nodad") if ipv6 else ("/24", "dev", "eth0")
            _run(*prefix, program, "address", "add", address + options[0], *options[1:])
            hosts.append(Host(address, prefix))
        yield hosts


@contextmanager
def private_network(router: Host, number: int, count: int) -> Iterator[list[Host]]:
    """Yield ``count`` machines behind one that masquerades, and lets nobody in, as routers at home do."""
    program, firewall = need("ip"), need("iptables")
    _run(*router.prefix, program, "link", "add", "bridge1", "type", "bridge")
    _run(*router.prefix, program, "address", "add", f"192.168.{number}.1/24", "dev", "bridge1")
    _run(*router.prefix, program, "link", "set", "bridge1", "up")
    _run(*router.prefix, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    masquerade = ("-t", "nat", "-A", "POSTROUTING", "-o", "eth0", "-j", "MASQUERADE")
    _run(*router.prefix, firewall, *masquerade)
    stranger = ("-i", "eth0", "-m", "conntrack", "!", "--ctstate", "ESTABLISHED,RELATED")
    for chain in ("INPUT", "FORWARD"):
        _run(*router.prefix, firewall, "-A", chain, *stranger, "-j", "DROP")
    with ExitStack() as stack:
        hosts = []
        for host in range(10, 10 + count):
            prefix = stack.enter_context(_namespace())
            pid, port = prefix[1].removeprefix("--target="), f"inside{host}"
            link = ("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", pid)
            _run(*router.prefix, program, *link)
            _run(*router.prefix, program, "link", "set", port, "master", "bridge1", "up")
            for device in ("lo", "eth0"):
                _run(*prefix, program, "link", "set", device, "up")
            address = f"192.168.{number}.{host}"
            _run(*prefix, program, "address", "add", f"{address}/24", "dev", "eth0")
            _run(*prefix, program, "route", "add", "default", "via", f"192.168.{number}.1")
            hosts.append(Host(address, prefix))
        yield hosts


def limit_rate(host: Host, megabytes: int) -> None:
    """Limit what a machine sends to ``megabytes`` MB per second."""
    rate = f"{megabytes * 8}mbit"
    queue = (
        *("qdisc", "add", "dev", "eth0", "root", "tbf"),
        "rate",
        rate,
        "burst",
        f"{max(128, 8 * megabytes)}kb",
        "latency",
        "200ms",
    )
    _run(*host.prefix, need("tc"), *queue)


@contextmanager
def _namespace() -> Iterator[tuple[str, ...]]:
    """Yield the words before a command in a new network namespace, which ends with the context."""
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo ready; exec sleep 3600"], stdout=subprocess.PIPE, text=True
    )
    with holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "ready\n"
            yield ("nsenter", f"--target={holder.pid}", "--net", "--")
        finally:
            holder.kill()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=60)
