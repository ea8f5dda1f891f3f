"""A machine of its own for tests of networks: namespaces with an interface, and a neighbor beyond it."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import peers, waiting
from tests.support.people import Person

if TYPE_CHECKING:
    from collections.abc import Iterator

MACHINE_ADDRESS, NEIGHBOR_ADDRESS = "203.0.113.2", "203.0.113.1"
_SETUP = f"""
set -e
mount -t tmpfs none /run
mkdir /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --move /run/cgroup /sys/fs/cgroup
mkdir -p /dev/net
mount -t tmpfs -o mode=755,dev none /dev/net
mknod -m 666 /dev/net/tun c 10 200
ip link set lo up
ip link add up0 type veth peer name up1
ip link set up1 netns "$1"
ip address add {MACHINE_ADDRESS}/24 dev up0
ip link set up0 up
ip route add default via {NEIGHBOR_ADDRESS}
nsenter --target "$1" --net ip address add {NEIGHBOR_ADDRESS}/24 dev up1
nsenter --target "$1" --net ip link set up1 up
"""


class Machine:
    """Namespaces in which tests may change the network and mount file systems."""

    def __init__(self, pid: int, neighbor: int) -> None:
        self._pid = pid
        self._neighbor = neighbor

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words before a command that is run on the machine, as root."""
        return ("nsenter", f"--target={self._pid}", "--mount", "--net", "--")

    @property
    def prefix_beside(self) -> tuple[str, ...]:
        """The words before a command that is run on the neighbor, as root."""
        return ("nsenter", f"--target={self._neighbor}", "--net", "--")

    def run(self, *command: str, check: bool = True) -> str:
        """Return the output of a command on the machine."""
        return _run((*self.prefix, *command), check=check)

    def run_beside(self, *command: str, check: bool = True) -> str:
        """Return the output of a command on the neighbor, which sees the machine from outside."""
        return _run((*self.prefix_beside, *command), check=check)

    def fetch(self, url: str, *, beside: bool = False) -> str:
        """Return a page of a server, which may still be starting and have the page later."""
        retry = ("--retry", "120", "--retry-delay", "1", "--retry-max-time", "120", "--retry-all-errors")
        command = ("curl", "--fail", "--silent", "--show-error", "--globoff", "--max-time", "5", *retry, url)
        return self.run_beside(*command) if beside else self.run(*command)

    def host(self, person: Person) -> Person:
        """Return a person who works on this machine."""
        return Person(
            person.name, person.home, (*self.prefix, *person.prefix), person.python, person.python_path
        )

    def network_state(self) -> str:
        """Return the interfaces, firewall rules and mounts that pods may leave behind."""
        interfaces = sorted(
            line.split()[0] for line in self.run("ip", "-brief", "link").splitlines() if "veth" in line
        )
        rules = sorted(
            line
            for table in ("nat", "filter")
            for line in self.run("iptables-save", "-t", table, check=False).splitlines()
            if "id:" in line or line.startswith((":CNI-DN-", ":CNI-SN-"))
        )
        mounts = [line for line in self.run("cat", "/proc/self/mountinfo").splitlines() if "netns" in line]
        return "\n".join((*interfaces, *rules, *mounts))


def wait_for_release(person: Person) -> None:
    """Wait until no attachment is left in a person's store; fail with their files if some are."""
    folder = person.home / "store/networks/attachments"

    def list_attachments() -> list[Path]:
        return [path for path in folder.glob("*") if path.is_dir()]

    waiting.until(lambda: not list_attachments(), lambda: _describe(list_attachments()))


def _describe(attachments: list[Path]) -> str:
    lines = []
    for path in (path for attachment in attachments for path in attachment.glob("*")):
        with suppress(OSError):
            lines.append(f"{path}: {path.read_text(errors='replace')}")
    return "\n".join([*map(str, attachments), *lines])


def _run(command: tuple[str, ...], *, check: bool) -> str:
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if check and process.returncode:
        raise AssertionError(f"{command} failed: {process.stdout}{process.stderr[-500:]}")
    return process.stdout


@contextmanager
def machine() -> Iterator[Machine]:
    """Yield a machine; skip the test if it cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("only root makes a machine for networks")
    for program in ("unshare", "nsenter", "ip", "curl", "iptables"):
        peers.need(program)
    holders = []
    try:
        for flags in ("-mn", "-n"):
            command = ["unshare", flags, "--propagation", "private", "sh", "-c", "echo ready; exec cat"]
            if flags == "-n":
                command = ["unshare", "-n", "sh", "-c", "echo ready; exec cat"]
            holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            holders.append(holder)
            assert holder.stdout is not None
            if holder.stdout.readline() != b"ready\n":
                peers.absent("network namespaces cannot be created here")
        made = Machine(holders[0].pid, holders[1].pid)
        made.run("sh", "-c", _SETUP, "sh", str(holders[1].pid))
        yield made
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()


def need_private_networks(user: str) -> None:
    """Skip the test if a program is missing with which ``root``, or another user, makes private networks."""
    if user != "root":
        peers.need("pasta")
    elif plugins_are_missing():
        peers.absent("containernetworking-plugins is not installed")


def plugins_are_missing() -> bool:
    """Return whether the CNI plugins are not installed."""
    return shutil.which("bridge", path="/usr/lib/cni:/opt/cni/bin") is None
