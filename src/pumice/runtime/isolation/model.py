"""The isolation of a container, as frozen values that every stage 1 can honor or report."""

from __future__ import annotations

from typing import Literal

import msgspec

UserNamespace = Literal["auto", "host", "keep-id"]
USER_NAMESPACES: tuple[UserNamespace, ...] = ("auto", "host", "keep-id")

DEFAULT_HOSTNAME = "pumice"
DEFAULT_SHM_SIZE = 64 << 20
"""The size of /dev/shm, as in podman."""
DEFAULT_SECCOMP = "default"
UNCONFINED = "unconfined"
DEFAULT_CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETUID",
)
"""The capabilities of root in a container: those of podman without SETFCAP, SETPCAP and SYS_CHROOT."""
DEFAULT_PIDS = 2048
"""The most processes and threads of a container, as in podman."""

MIN_MEMORY = 6 << 20
"""The least limit of memory in bytes, as in docker: with less, no program starts."""
MIN_CPUS = 10
"""The least limit in thousandths of a processor: the kernel refuses less."""


class Rlimit(msgspec.Struct, frozen=True):
    """A resource limit (getrlimit(2)); ``name`` is lower case without ``RLIMIT_``, -1 is unlimited."""

    name: str
    soft: int
    hard: int


class Device(msgspec.Struct, frozen=True):
    """A device node of the host, and its path in the container."""

    source: str
    target: str


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of control groups; 0 is no limit.

    ``memory`` is in bytes and includes swap. ``cpus`` is in thousandths of a processor. ``pids`` is None if
    the user asked for nothing; then `DEFAULT_PIDS` applies where control groups can be used. On each block
    device, reads and writes can each have ``block_bandwidth`` bytes and ``block_operations`` a second.
    """

    memory: int = 0
    cpus: int = 0
    cpu_shares: int = 0
    pids: int | None = None
    block_bandwidth: int = 0
    block_operations: int = 0


UNLIMITED = Limits(pids=0)


class Isolation(msgspec.Struct, frozen=True, kw_only=True):
    """What a container may do.

    ``capabilities`` are those of root and the bounding set of others; ``added_capabilities`` those that
    users other than root get as well. ``seccomp`` is `DEFAULT_SECCOMP`, `UNCONFINED` or the path of a
    profile; with ``exact_filter``, it applies to the program only, and may allow less than its start needs.
    ``unmasked`` are paths that are not hidden or read-only, ``("ALL",)`` for all.

    ``pod_limits`` are those of all apps of the pod together. The network can send, and receive,
    ``network_bandwidth`` bytes a second, that of the pod ``pod_network_bandwidth``; 0 is no limit.
    """

    capabilities: tuple[str, ...] = DEFAULT_CAPABILITIES
    added_capabilities: tuple[str, ...] = ()
    seccomp: str = DEFAULT_SECCOMP
    explains_refused_calls: bool = False
    exact_filter: bool = False
    no_new_privileges: bool = True
    limits: Limits = Limits()
    rlimits: tuple[Rlimit, ...] = ()
    oom_score: int | None = None
    devices: tuple[Device, ...] = ()
    shm_size: int = DEFAULT_SHM_SIZE
    sysctls: tuple[tuple[str, str], ...] = ()
    apparmor: str = ""
    selinux: str = ""
    unmasked: tuple[str, ...] = ()
    user_namespace: UserNamespace = "host"
    pod_limits: Limits = UNLIMITED
    network_bandwidth: int = 0
    pod_network_bandwidth: int = 0
