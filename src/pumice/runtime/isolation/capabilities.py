"""Sets of capabilities (capabilities(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import UsageError
from pumice.runtime.isolation.model import DEFAULT_CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# linux/capability.h, in the order of their numbers
_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE
SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE
AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF
CHECKPOINT_RESTORE
"""
NUMBERS = {name: number for number, name in enumerate(_NAMES.split())}
"""The number of each capability by its name without ``CAP_``."""
ALL = "ALL"


def select(added: Iterable[str], dropped: Iterable[str]) -> tuple[str, ...]:
    """Return the default capabilities with ``added`` and without ``dropped``, in the kernel's order.

    ``ALL`` and patterns such as ``NET_*`` stand for several. A capability that is named in full wins over
    a pattern; one that is both added and dropped in the same way is an error. Raises UsageError.
    """
    add = _expand("--cap-add", added)
    drop = _expand("--cap-drop", dropped)
    if both := sorted(add[0] & drop[0]):
        raise UsageError(f"cannot both add and drop the capability {both[0]}", hint="omit one of the options")
    chosen = set(DEFAULT_CAPABILITIES) | add[1]
    chosen -= drop[1]
    chosen = (chosen | add[0]) - drop[0]
    return tuple(name for name in NUMBERS if name in chosen)


def list_added(added: Iterable[str], chosen: Sequence[str]) -> tuple[str, ...]:
    """Return those of the ``chosen`` capabilities that the user named in full."""
    named = _expand("--cap-add", added)[0]
    return tuple(name for name in chosen if name in named)


def _expand(option: str, texts: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the capabilities that are named in full, and those that match a pattern."""
    from fnmatch import fnmatchcase

    named: set[str] = set()
    matched: set[str] = set()
    for text in texts:
        for part in text.split(","):
            name = part.strip().upper().removeprefix("CAP_")
            if name in NUMBERS:
                named.add(name)
                continue
            pattern = "*" if name == ALL else name
            names = {capability for capability in NUMBERS if fnmatchcase(capability, pattern)}
            if not names or not name:
                raise UsageError(f"{option}: unknown capability {part[:40]!r}", hint=_suggest(name))
            matched |= names
    return named, matched


def _suggest(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, NUMBERS, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"use ALL, a pattern such as 'NET_*', or one of {', '.join(NUMBERS)}"
