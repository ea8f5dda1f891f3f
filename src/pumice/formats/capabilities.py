"""File capabilities: from the text of cap_from_text(3) to the bytes of ``security.capability``.

The bytes are version 2 of the kernel's ``struct vfs_cap_data`` (capabilities(7)): a magic number with the
effective bit, then the permitted and inheritable sets of 64 bits in two halves, little-endian.
"""

from __future__ import annotations

import re
import struct

from pumice.errors import FormatError

ATTRIBUTE = "security.capability"

_VERSION_2 = 0x02000000
_EFFECTIVE = 1
_NAMES = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
]
_CLAUSE = re.compile(r"([a-z0-9_,]*)((?:[=+-][eip]*)+)")
_OPERATION = re.compile(r"([=+-])([eip]*)")


def encode_capabilities(text: str) -> bytes:
    """Return the attribute value for ``text`` (``cap_net_raw+ep``); raises FormatError if malformed."""
    sets = {"e": 0, "i": 0, "p": 0}
    for clause in text.split():
        match = _CLAUSE.fullmatch(clause)
        if not match:
            raise FormatError(f"{text[:80]!r} is not a list of capabilities")
        mask = _parse_mask(match[1])
        for operator, flags in _OPERATION.findall(match[2]):
            for flag, current in sets.items():
                if operator == "=":
                    sets[flag] = current & ~mask | (mask if flag in flags else 0)
                elif flag in flags:
                    sets[flag] = current | mask if operator == "+" else current & ~mask
    if sets["e"] & ~(sets["p"] | sets["i"]) or (sets["e"] and sets["e"] != sets["p"] | sets["i"]):
        raise FormatError(
            f"{text[:80]!r} cannot be stored in a file, which has only one effective bit for all capabilities"
        )
    permitted, inheritable = sets["p"], sets["i"]
    return struct.pack(
        "<IIIII",
        _VERSION_2 | (_EFFECTIVE if sets["e"] else 0),
        permitted & 0xFFFFFFFF,
        inheritable & 0xFFFFFFFF,
        permitted >> 32,
        inheritable >> 32,
    )


def _parse_mask(names: str) -> int:
    if names in ("", "all"):
        return (1 << len(_NAMES)) - 1
    mask = 0
    for name in names.split(","):
        if name.removeprefix("cap_") not in _NAMES or not name.startswith("cap_"):
            raise FormatError(f"unknown capability {name[:40]!r}")
        mask |= 1 << _NAMES.index(name.removeprefix("cap_"))
    return mask
