"""Limit the bandwidth of a private network with the queues of the kernel (tc(8), tc-tbf(8)).

What the pod sends waits in a token bucket of each interface. What it receives goes through an intermediate
device (ifb) first, which has another one, because a queue can only delay what is sent. Loopback has none.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import SandboxError
from pumice.formats.lines import split_lines
from pumice.runtime.network.support import find_program

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAMS = ("tc", "ip", "nsenter")
_SECONDS = 15
_LEAST_BURST = 1 << 15
_MOST_BURST = (1 << 32) - 1
_BURSTS_A_SECOND = 100
_LATENCY = "400ms"
_REDIRECT = "parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect"


def find_obstacle() -> str:
    """Return why bandwidth cannot be limited here, ``""`` if it can."""
    for program in _PROGRAMS:
        if find_program(program) is None:
            return f"{program} is not installed"
    return ""


def limit_bandwidth(process: int, rate: int) -> None:
    """Limit the network of a process to ``rate`` bytes a second in each direction; raises SandboxError."""
    interfaces = _list_interfaces(process)
    devices = [f"limit{number}" for number in range(len(interfaces))]
    _run_in_network(process, ["ip", "-batch", "-"], [f"link add {device} up type ifb" for device in devices])
    commands = []
    for interface, device in zip(interfaces, devices, strict=True):
        commands += [
            f"qdisc replace dev {interface} root {_describe_bucket(rate)}",
            f"qdisc replace dev {device} root {_describe_bucket(rate)}",
            f"qdisc add dev {interface} ingress",
            f"filter add dev {interface} {_REDIRECT} dev {device}",
        ]
    _run_in_network(process, ["tc", "-batch", "-"], commands)


def _describe_bucket(rate: int) -> str:
    # In the words of tc, "bps" is bytes a second.
    burst = min(max(_LEAST_BURST, rate // _BURSTS_A_SECOND), _MOST_BURST)
    return f"tbf rate {rate}bps burst {burst} latency {_LATENCY}"


def _list_interfaces(process: int) -> list[str]:
    """Return the interfaces in the network of a process, without loopback."""
    lines = split_lines(Path(f"/proc/{process}/net/dev").read_text())[2:]
    names = [line.partition(":")[0].strip() for line in lines]
    return [name for name in names if name != "lo"]


def _run_in_network(process: int, command: Sequence[str], lines: Sequence[str]) -> None:
    """Run a program of the host in the network of a process, with lines as its input."""
    enter = ["nsenter", f"--target={process}", "--net"]
    if os.geteuid() != 0:
        enter += ["--user", "--preserve-credentials"]
    programs = [find_program(word) or word for word in (enter[0], command[0])]
    try:
        result = subprocess.run(
            [programs[0], *enter[1:], "--", programs[1], *command[1:]],
            input="\n".join(lines),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        reason = result.stderr.strip().partition("\n")[0][:200] if result.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    if reason:
        raise SandboxError(
            f"cannot limit the bandwidth of the network: {reason}",
            hint="remove the isolator resource/network-bandwidth, or use --network host",
        )
