"""What this machine has for private networks: CNI plugins for root, pasta or slirp4netns for other users."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pumice.errors import SandboxError, UsageError
from pumice.runtime.network.keeper import cni
from pumice.runtime.network.request import AUTO, HOST, PRIVATE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.runtime.network.request import NetworkRequest

Driver = Literal["cni", "pasta", "slirp4netns"]
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TUN = "/dev/net/tun"
_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21


def find_program(name: str) -> str | None:
    """Return the path of a program, also of one that is only on the path of root."""
    return shutil.which(name) or shutil.which(name, path=_SYSTEM_PATH)


def plugin_directories(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return where CNI plugins are: ``CNI_PATH``, then the usual directories."""
    return (*filter(None, environ.get("CNI_PATH", "").split(":")), *cni.PLUGIN_DIRECTORIES)


def choose_driver(environ: Mapping[str, str]) -> tuple[Driver | None, str]:
    """Return what sets up private networks for this user; without any, None and what to install."""
    if os.geteuid() == 0:
        missing = [
            name
            for name in ("bridge", "host-local", "portmap", "firewall")
            if cni.find_plugin(name, plugin_directories(environ)) is None
        ]
        if missing:
            return None, "install containernetworking-plugins"
        if find_program("iptables") is None:
            return None, "install iptables"
        if not _has_capabilities(_CAP_NET_ADMIN, _CAP_SYS_ADMIN):
            return None, "run as root with the capabilities CAP_NET_ADMIN and CAP_SYS_ADMIN"
        return "cni", ""
    if not os.access(_TUN, os.R_OK | os.W_OK):
        return None, f"make {_TUN} accessible: its mode is usually 0666"
    for driver in ("pasta", "slirp4netns"):
        if find_program(driver):
            return ("pasta" if driver == "pasta" else "slirp4netns"), ""
    return None, "install passt or slirp4netns"


def _has_capabilities(*numbers: int) -> bool:
    with suppress(OSError, ValueError), Path("/proc/self/status").open() as file:
        for line in file:
            if line.startswith("CapEff:"):
                effective = int(line[7:], 16)
                return all(effective >> number & 1 for number in numbers)
    return False


def decide_mode(request: NetworkRequest, environ: Mapping[str, str]) -> tuple[str, Driver | None]:
    """Return the mode of a request, never ``auto``, and what sets it up if it is private.

    Raises UsageError for a request that this user cannot have, and SandboxError if a program is missing.
    """
    if request.mode not in (AUTO, PRIVATE):
        if request.publish or request.publish_all:
            raise UsageError(
                f"--network {request.mode} has no ports to publish",
                hint="omit --publish"
                + (": the ports of the program are those of this machine" if request.mode == HOST else ""),
            )
        return request.mode, None
    driver, remedy = choose_driver(environ)
    if driver is None:
        if request.mode == AUTO and not (request.publish or request.publish_all):
            return HOST, None
        raise SandboxError("cannot set up a private network", hint=f"{remedy}, or use --network host")
    if request.is_named and driver != "cni":
        raise UsageError(
            f"the network {request.name!r} needs root: pods of an ordinary user share no network",
            hint="use --network private, and reach other pods through published ports",
        )
    if request.address and driver != "cni":
        raise UsageError("the address of a pod can be chosen only by root", hint="omit ip=")
    return PRIVATE, driver
