"""Read the values of options that isolate a container, with the spelling and meaning of podman."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from pumice.errors import UsageError
from pumice.runtime.isolation.model import MIN_CPUS, MIN_MEMORY, Device, Rlimit

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([bkmgt]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
RLIMITS = (
    *("as", "core", "cpu", "data", "fsize", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss"),
    *("rtprio", "sigpending", "stack"),
)
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_SYSCTLS = (
    *("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax"),
    *("kernel.shmmni", "kernel.shm_rmid_forced"),
)
_SYSCTL_FAMILIES = ("fs.mqueue.", "net.")
_SYSCTL_NAME = re.compile(r"[a-z0-9_.-]+", re.ASCII)
_TMPFS_VALUES = ("size", "mode", "nr_inodes", "nr_blocks", "uid", "gid")
_TMPFS_FLAGS = ("rw", "ro", "exec", "noexec", "nosuid", "nodev")
_MAX_LIMIT = (1 << 63) - 1


def parse_size(option: str, text: str, example: str = "512m") -> int:
    """Return a number of bytes such as ``512m`` or ``1.5GiB``; raises UsageError."""
    match = _SIZE.fullmatch(text)
    size = int(float(match[1]) * _UNITS[match[2].lower()]) if match else 0
    if not match or size > _MAX_LIMIT:
        raise UsageError(
            f"{option}: {text[:40]!r} is not a size",
            hint=f"write a number with b, k, m, g or t, such as {example}",
        )
    return size


def parse_memory(text: str) -> int:
    """Return the limit for ``--memory`` in bytes; 0 is none. Raises UsageError."""
    size = parse_size("--memory", text)
    if 0 < size < MIN_MEMORY:
        raise UsageError(f"--memory: {text[:40]!r} is too little", hint="the least is 6m")
    return size


def parse_cpus(text: str) -> int:
    """Return thousandths of processors for ``--cpus``, such as ``1.5``; raises UsageError."""
    if not re.fullmatch(r"\d{1,4}(?:\.\d{1,9})?", text, re.ASCII) or 0 < float(text) < MIN_CPUS / 1000:
        raise UsageError(
            f"--cpus: {text[:40]!r} is not a number of processors", hint="write 0.01 or more, such as 1.5"
        )
    return int(float(text) * 1000)


def parse_integer(option: str, text: str, low: int, high: int) -> int:
    """Return a number from ``low`` to ``high``; raises UsageError."""
    if not re.fullmatch(r"[+-]?\d{1,12}", text, re.ASCII) or not low <= int(text) <= high:
        raise UsageError(
            f"{option}: {text[:40]!r} is not a number from {low} to {high}",
            hint=f"for example: {option} {max(low, min(high, 100))}",
        )
    return int(text)


def parse_ulimit(text: str) -> Rlimit | None:
    """Return the limit for ``NAME=SOFT[:HARD]``, None for ``host``; raises UsageError."""
    if text == "host":
        return None
    name, equals, value = text.partition("=")
    soft, colon, hard = value.partition(":")
    if name not in RLIMITS:
        raise UsageError(
            f"--ulimit: unknown resource limit {name[:40]!r}", hint=f"use one of {', '.join(RLIMITS)}"
        )
    limits = [_limit(number) for number in (soft, hard if colon else soft)]
    if not equals or None in limits:
        raise UsageError(
            f"--ulimit: {text[:60]!r} is not a limit",
            hint=f"write {name}=SOFT[:HARD] with numbers, -1 for unlimited",
        )
    soft_limit, hard_limit = (limit or 0 for limit in limits)
    if hard_limit != -1 and (soft_limit == -1 or soft_limit > hard_limit):
        raise UsageError(f"--ulimit: the soft limit of {text[:60]!r} is higher than the hard limit")
    return Rlimit(name, soft_limit, hard_limit)


def _limit(text: str) -> int | None:
    if text in ("-1", "unlimited"):
        return -1
    return int(text) if re.fullmatch(r"\d{1,18}", text, re.ASCII) else None


def parse_device(text: str) -> Device:
    """Return the device for ``SOURCE[:TARGET][:rwm]``; raises UsageError."""
    source, *rest = text.split(":")
    if rest and rest[-1] and set(rest[-1]) <= set("rwm"):
        permissions = rest.pop()
        if not {"r", "w"} <= set(permissions):
            raise UsageError(
                f"--device: {text[:80]!r} would be read-only or write-only, which devices cannot be here",
                hint="write SOURCE[:TARGET] or SOURCE[:TARGET]:rw",
            )
    if not source.startswith("/") or len(rest) > 1:
        raise UsageError(
            f"--device: {text[:80]!r} is not a device",
            hint="write SOURCE[:TARGET][:rw], such as /dev/fuse or /dev/ttyUSB0:/dev/modem",
        )
    path = Path(source)
    if not (path.is_char_device() or path.is_block_device()):
        reason = "is not a device" if path.exists() else "does not exist"
        raise UsageError(f"--device: {source[:80]!r} {reason}", hint="see the devices in /dev")
    target = posixpath.normpath(rest[0] if rest else source)
    if not target.startswith("/dev/"):
        raise UsageError(f"--device: the path {target[:80]!r} in the container is not below /dev")
    return Device(str(path.resolve()), target)


def parse_sysctl(text: str, *, own_network: bool) -> tuple[str, str]:
    """Return name and value of ``NAME=VALUE``; only settings of a container's own namespaces are allowed."""
    name, equals, value = text.partition("=")
    name = name.replace("/", ".")
    if not equals or not _SYSCTL_NAME.fullmatch(name) or "\0" in value:
        raise UsageError(f"--sysctl: {text[:60]!r} is not a setting", hint="write NAME=VALUE")
    if obstacle := find_sysctl_obstacle(name, own_network=own_network):
        is_of_network = name.startswith("net.")
        settings = f"use one of {', '.join(_SYSCTLS)}, fs.mqueue.* or net.*"
        raise UsageError(
            f"--sysctl: {name[:60]!r} {obstacle}", hint="add --network none" if is_of_network else settings
        )
    return name, value


def find_sysctl_obstacle(name: str, *, own_network: bool) -> str:
    """Return why a container cannot have a kernel setting, "" if it belongs to its own namespaces."""
    if not _SYSCTL_NAME.fullmatch(name):
        return "is not a setting"
    if name not in _SYSCTLS and not name.startswith(_SYSCTL_FAMILIES):
        return "is a setting of the whole machine"
    if name.startswith("net.") and not own_network:
        return "would change the network of the host"
    return ""


def parse_hostname(text: str) -> str:
    """Return a host name (RFC 1123, at most 64 characters); raises UsageError."""
    if len(text) > 64 or not all(_LABEL.fullmatch(label) for label in text.split(".")):
        raise UsageError(
            f"--hostname: {text[:80]!r} is not a host name",
            hint="use letters, digits, hyphens and dots, at most 64 characters",
        )
    return text


def parse_address(option: str, text: str) -> str:
    """Return an IP address in its usual form; raises UsageError."""
    from ipaddress import ip_address

    try:
        return str(ip_address(text))
    except ValueError:
        raise UsageError(
            f"{option}: {text[:60]!r} is not an IP address", hint="for example: 192.0.2.1"
        ) from None


def parse_add_host(text: str) -> tuple[str, str]:
    """Return (address, name) for ``NAME:ADDRESS``; raises UsageError."""
    name, _, address = text.partition(":")
    if not name or not all(_LABEL.fullmatch(label.replace("_", "-")) for label in name.split(".")):
        raise UsageError(
            f"--add-host: {text[:80]!r} is not a host and an address",
            hint="write NAME:ADDRESS, such as db.internal:10.0.0.5",
        )
    return parse_address("--add-host", address.removeprefix("[").removesuffix("]")), name


def parse_tmpfs_options(option: str, text: str) -> tuple[str, bool, bool]:
    """Return the data of a tmpfs, whether it is read-only, and whether programs in it cannot be executed."""
    data = []
    flags = []
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if name in _TMPFS_VALUES and equals:
            data.append(f"{name}={_tmpfs_value(option, name, value)}")
        elif part in _TMPFS_FLAGS:
            flags.append(part)
        else:
            raise UsageError(
                f"{option}: unknown option {part[:40]!r} of a tmpfs",
                hint=f"use {', '.join(f'{name}=N' for name in _TMPFS_VALUES)}, {', '.join(_TMPFS_FLAGS)}",
            )
    if not any(part.startswith("mode=") for part in data):
        data.append("mode=1777")
    return ",".join(data), "ro" in flags, "exec" not in flags


def _tmpfs_value(option: str, name: str, value: str) -> str:
    if name == "size":
        return value if re.fullmatch(r"\d{1,2}%", value, re.ASCII) else str(parse_size(option, value, "64m"))
    if name == "mode":
        if not re.fullmatch(r"[0-7]{3,4}", value, re.ASCII):
            raise UsageError(f"{option}: {value[:40]!r} is not a mode", hint="write 3 or 4 octal digits")
        return value
    return str(parse_integer(f"{option}: {name}", value, 0, (1 << 32) - 2))
