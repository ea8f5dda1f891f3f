"""Networks of ordinary users: pasta (passt) or slirp4netns, which need no privileges but a tun device."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import SandboxError
from pumice.formats.lines import split_lines
from pumice.runtime.network.host_ports import EVERY_IPV4_ADDRESS
from pumice.runtime.network.keeper.release import PASTA_FILE, SLIRP_FILE
from pumice.runtime.network.support import find_program

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.runtime.network.host_ports import PublishedPort

SLIRP_ADDRESS = "10.0.2.100"
SLIRP_NAMESERVER = "10.0.2.3"
PASTA_NAMESERVER = "169.254.1.1"
_SLIRP_RESTRICTIONS = ("--enable-seccomp", "--enable-sandbox")
_SECONDS = 15
_NOISE = ("syslog",)
"""Messages of pasta that say nothing about its failure."""


def start_pasta(process: int, directory: Path, ports: Sequence[PublishedPort], *, forward_dns: bool) -> int:
    """Connect the network of ``process`` with pasta, and return the pid of pasta.

    Without ``--no-map-gw``, services that listen on this machine's loopback would be reachable from inside.
    Raises SandboxError.
    """
    program = find_program("pasta") or "pasta"
    pid_file = directory / PASTA_FILE
    supported_options = _read_help("pasta", program)
    command = [program, "--quiet", "--config-net", "--pid", str(pid_file), "-T", "none", "-U", "none"]
    command += ["--no-map-gw"] if "--no-map-gw" in supported_options else []
    if forward_dns and "--dns-forward" in supported_options:
        command += ["--dns-forward", PASTA_NAMESERVER]
    for option, protocol in (("-t", "tcp"), ("-u", "udp")):
        command += _pasta_ports(option, [port for port in ports if port.protocol == protocol])
    try:
        result = subprocess.run(
            [*command, str(process)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if result.returncode == 0:
            return int(pid_file.read_text())
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise _failure("pasta", str(error)) from None
    raise _failure("pasta", result.stderr)


def _read_help(name: str, program: str) -> str:
    """Return what a program says about its options; raises SandboxError."""
    command = [program, "--help"]
    try:
        process = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failure(name, str(error)) from None
    return process.stdout + process.stderr


def has_ipv6_route() -> bool:
    """Return whether this machine has a default route of IPv6, without which pasta has IPv4 only."""
    with suppress(OSError), Path("/proc/net/ipv6_route").open() as file:
        for line in file:
            fields = line.split()
            if fields[:2] == ["0" * 32, "00"] and fields[-1] != "lo":
                return True
    return False


def _pasta_ports(option: str, ports: Iterable[PublishedPort]) -> list[str]:
    """Return the options for the ports of one protocol."""
    specifications: list[str] = []
    for port in ports:
        address = f"{port.address}/" if port.address else ""
        specifications += [option, f"{address}{port.host}:{port.container}"]
    return specifications or [option, "none"]


def start_slirp(process: int, directory: Path, ports: Sequence[PublishedPort]) -> int:
    """Connect the network of ``process`` with slirp4netns, and return its pid; raises SandboxError."""
    program = find_program("slirp4netns") or "slirp4netns"
    api = directory / SLIRP_FILE
    supported = _read_help("slirp4netns", program)
    seccomp, sandbox = ([option] if option in supported else [] for option in _SLIRP_RESTRICTIONS)
    arguments = ["--api-socket", str(api), str(process), "tap0"]
    command = [program, "--configure", "--mtu=65520", "--disable-host-loopback", *seccomp]
    log = directory / "slirp.log"
    # Its sandbox needs a group 0 in the user namespace, which a user without subordinate ids does not have.
    helper = _launch_slirp([*command, *sandbox], arguments, log) or _launch_slirp(command, arguments, log)
    if helper is None:
        raise _failure("slirp4netns", log.read_text(errors="replace"))
    try:
        for port in ports:
            _forward(api, port)
    except BaseException as error:
        helper.kill()
        helper.wait()
        if isinstance(error, OSError):
            raise _failure("slirp4netns", str(error)) from None
        raise
    helper.returncode = 0  # it outlives this process, and its keeper ends it
    return helper.pid


def _launch_slirp(command: list[str], arguments: list[str], log: Path) -> subprocess.Popen[bytes] | None:
    """Start slirp4netns; return it when the network is ready, None if it failed."""
    ready_reader, ready_writer = os.pipe()
    with log.open("wb") as file:
        helper = subprocess.Popen(
            [*command, "--ready-fd", str(ready_writer), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            pass_fds=(ready_writer,),
            start_new_session=True,
        )
    os.close(ready_writer)
    poll = select.poll()
    poll.register(ready_reader, select.POLLIN)
    is_ready = bool(poll.poll(_SECONDS * 1000)) and os.read(ready_reader, 1) == b"1"
    os.close(ready_reader)
    if is_ready:
        return helper
    helper.kill()
    helper.wait()
    return None


def _forward(api: Path, port: PublishedPort) -> None:
    """Ask slirp4netns to forward a port; it has IPv4 only."""
    arguments = {
        "proto": port.protocol,
        "host_addr": _ipv4_address(port.address),
        "host_port": port.host,
        "guest_addr": SLIRP_ADDRESS,
        "guest_port": port.container,
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_SECONDS)
        connection.connect(str(api))
        connection.sendall(json.dumps({"execute": "add_hostfwd", "arguments": arguments}).encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while data := connection.recv(4096):
            answer += data
    with suppress(ValueError):
        if "error" not in json.loads(answer):
            return
    raise SandboxError(
        f"cannot publish port {port.host}/{port.protocol}: slirp4netns did not open it",
        hint="use another port of this machine",
    )


def _ipv4_address(address: str) -> str:
    """Return where slirp4netns listens; connections to an IPv6 address are relayed to it."""
    return "127.0.0.1" if ":" in address else address or EVERY_IPV4_ADDRESS


def _failure(program: str, text: str) -> SandboxError:
    lines = [
        line.strip()
        for line in split_lines(text)
        if line.strip() and not any(word in line for word in _NOISE)
    ]
    reason = "; ".join(lines[-2:])[:300] or "it gave no reason"
    return SandboxError(
        f"{program} could not set up the network: {reason}", hint="use --network host or none"
    )
