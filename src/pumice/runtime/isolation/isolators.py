"""Which stage 1 honors which isolator: a table, and what follows from it for a container.

``docs/reference/isolators.md`` has the same table. A stage 1 that cannot honor an option says so before
the start; ``--strict`` makes that an error.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.errors import SandboxError
from pumice.runtime import id_maps
from pumice.runtime.isolation.model import DEFAULT_HOSTNAME, DEFAULT_SECCOMP, Isolation, Limits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.progress import Progress
    from pumice.runtime.container import Container, Mount

Effect = Literal["ignored", "modified"]
BACKENDS = ("builtin", "bwrap", "runc", "crun", "fly", "kvm")


class Isolator(msgspec.Struct, frozen=True, kw_only=True):
    """A restriction of a container and its option; the backends that do not honor it fully, with reasons."""

    name: str
    option: str
    ignored: dict[str, str] = {}
    modified: dict[str, str] = {}


class Complaint(msgspec.Struct, frozen=True):
    """An option that a container cannot have as it was given."""

    option: str
    effect: Effect
    reason: str

    def __str__(self) -> str:
        return f"{self.option} is {self.effect}: {self.reason}"


_ENGINE = {name: f"{name} itself counts as well" for name in ("runc", "crun")}
_SHARED = {"fly": "the program shares all but its root with the host"}
_OWN_KERNEL = {"kvm": "the virtual machine has a kernel of its own"}
_OWN_PROCESSES = {name: f"the apps could see the processes of {name} itself" for name in ("runc", "crun")}
_OWN_IDS = {"kvm": "each app has process ids of its own in the virtual machine"}
_NO_LABELS = dict.fromkeys(("builtin", "bwrap", "fly", "kvm"), "only runc and crun can set it")

_NO_RELABELING = dict.fromkeys(BACKENDS, "the files keep their SELinux labels, see chcon(1)")
_NO_HANDLERS = {"kvm": "the virtual machine runs the programs only"}
_NO_SOCKETS = {"kvm": "the virtual machine has a network of its own"}
_UNKNOWN_ID = {"bwrap": "bwrap does not tell the program its process id"}

_OPTIONAL_NAMESPACE = "; as root, pass --userns host"


def _in_user_namespace(scope: str) -> dict[str, str]:
    """Return why a capability over ``scope`` has no effect, by stage 1 that can need a user namespace."""
    reason = f"a user namespace has no rights over {scope}"
    return {
        **dict.fromkeys(("builtin", "bwrap"), reason),
        **dict.fromkeys(("runc", "crun"), f"{reason}{_OPTIONAL_NAMESPACE}"),
        "fly": f"{reason}, and only root needs none",
    }


_OF_NETWORK = ("NET_ADMIN", "NET_BROADCAST", "NET_RAW")
_OF_HOST_NETWORK = (*_OF_NETWORK, "NET_BIND_SERVICE")
"""In a network of its own, every program can use all ports."""
_OF_MACHINE = (
    *("AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "IPC_LOCK", "LEASE"),
    *("LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "PERFMON", "SYSLOG", "SYS_MODULE"),
    *("SYS_PACCT", "SYS_RAWIO", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM"),
)
"""Those that the kernel only looks for in the first user namespace (capable() in its source)."""
_HOST_NETWORK, _POD_NETWORK = "--cap-add NET_… with --network host", "--cap-add NET_… with another network"
_MACHINE = "--cap-add MKNOD, SYS_TIME, …"

ISOLATORS = (
    Isolator(name="capabilities", option="--cap-add, --cap-drop"),
    Isolator(
        name="capabilities over the network of the host",
        option=_HOST_NETWORK,
        ignored=_in_user_namespace("the network of the machine"),
    ),
    Isolator(
        name="capabilities over a network of its own",
        option=_POD_NETWORK,
        ignored={"bwrap": "the user namespace of bwrap has no rights over the network around it"},
    ),
    Isolator(
        name="capabilities over the machine", option=_MACHINE, ignored=_in_user_namespace("the machine")
    ),
    Isolator(name="system calls", option="--security-opt seccomp="),
    Isolator(
        name="set-id programs",
        option="--security-opt no-new-privileges=false",
        ignored={"bwrap": "bwrap always forbids new privileges"},
    ),
    Isolator(
        name="memory",
        option="--memory",
        modified={**_ENGINE, "kvm": "it is the size of the virtual machine, with its kernel and all files"},
    ),
    Isolator(
        name="processors",
        option="--cpus",
        modified={**_ENGINE, "kvm": "the virtual machine has whole processors"},
    ),
    Isolator(name="share of the processors", option="--cpu-shares", ignored=_OWN_KERNEL),
    Isolator(name="processes", option="--pids-limit", ignored=_OWN_KERNEL, modified=_ENGINE),
    Isolator(name="resource limits", option="--ulimit"),
    Isolator(name="score for the OOM killer", option="--oom-score-adj"),
    Isolator(
        name="volumes",
        option="--volume",
        modified={"kvm": "the virtual machine gets a copy, and changes are lost"},
    ),
    Isolator(
        name="volumes without other mounts",
        option="--volume :bind",
        modified={"kvm": "kvm also has what is mounted below the volume"},
    ),
    Isolator(name="SELinux labels of volumes", option="--volume :z", ignored=_NO_RELABELING),
    Isolator(
        name="network of the host",
        option="--network host",
        modified={"kvm": "the virtual machine has a network of its own, without reachable ports"},
    ),
    Isolator(
        name="devices",
        option="--device",
        ignored=_OWN_KERNEL,
        modified={"fly": "the program has all devices of the host"},
    ),
    Isolator(name="file systems in memory", option="--tmpfs"),
    Isolator(
        name="file systems in memory below /dev",
        option="--tmpfs /dev/…",
        modified={"bwrap": "bwrap can set its size and mode only, so its programs can be executed"},
    ),
    Isolator(name="shared memory", option="--shm-size", ignored=_SHARED),
    Isolator(name="read-only root", option="--read-only"),
    Isolator(name="host name", option="--hostname", ignored=_SHARED),
    Isolator(
        name="kernel settings", option="--sysctl", ignored={"bwrap": "bwrap cannot set them", **_SHARED}
    ),
    Isolator(name="hidden kernel files", option="--security-opt unmask=", ignored=_SHARED),
    Isolator(name="AppArmor profile", option="--security-opt apparmor=", ignored=_NO_LABELS),
    Isolator(name="SELinux label", option="--security-opt label=", ignored=_NO_LABELS),
    Isolator(
        name="user namespace",
        option="--userns",
        ignored={**_SHARED, **_OWN_KERNEL},
        modified={name: f"{name} maps your own id to root" for name in ("runc", "crun")},
    ),
    Isolator(name="terminal", option="--tty"),
    Isolator(
        name="block devices", option="resource/block-bandwidth, resource/block-iops", ignored=_OWN_KERNEL
    ),
    Isolator(name="shared process ids", option="--pid pod", ignored={**_OWN_PROCESSES, **_OWN_IDS}),
    Isolator(name="event handlers", option="eventHandlers", ignored=_NO_HANDLERS),
    Isolator(name="socket activation", option="socketActivated", ignored=_NO_SOCKETS),
    Isolator(
        name="the same with shared process ids",
        option="socketActivated with --pid pod",
        ignored=_UNKNOWN_ID,
    ),
)
"""Every isolator; a backend that is in neither of its tables honors it."""
_BY_OPTION = {isolator.option: isolator for isolator in ISOLATORS}


def find_complaints(container: Container, backend: str, *, in_pod: bool = False) -> tuple[Complaint, ...]:
    """Return what ``backend`` cannot honor of what the container asks for.

    ``in_pod``: other apps share its network.
    """
    complaints = []
    added = _list_capabilities(container, backend, in_pod=in_pod)
    for option in (*_list_requested(container), *added):
        isolator, label = _BY_OPTION[option], added.get(option, option)
        if backend in isolator.ignored:
            complaints.append(Complaint(label, "ignored", isolator.ignored[backend]))
        elif backend in isolator.modified:
            complaints.append(Complaint(label, "modified", isolator.modified[backend]))
    return tuple(complaints)


def report(complaints: Iterable[Complaint], progress: Progress, *, strict: bool) -> None:
    """Warn about complaints; raise SandboxError for them if ``strict``."""
    for complaint in complaints:
        if strict:
            raise SandboxError(
                f"{complaint.option} would be {complaint.effect}: {complaint.reason}",
                hint="omit the option, use another --stage1, or omit --strict",
            )
        progress.warn(str(complaint))


def _list_capabilities(container: Container, backend: str, *, in_pod: bool) -> dict[str, str]:
    """Return the options of `ISOLATORS` for capabilities that may have no effect, as the user wrote them."""
    rows: dict[str, tuple[str, ...]] = {}
    if container.network == "host":
        rows[_HOST_NETWORK] = _OF_HOST_NETWORK
    elif in_pod or container.network == "private" or container.listen:
        rows[_POD_NETWORK] = _OF_NETWORK
    rows[_MACHINE] = _OF_MACHINE
    if not needs_user_namespace(container, backend):
        rows = {}
    named = {
        option: [name for name in container.isolation.added_capabilities if name in names]
        for option, names in rows.items()
    }
    return {option: f"--cap-add {','.join(names)}" for option, names in named.items() if names}


def needs_user_namespace(container: Container, backend: str) -> bool:
    """Return whether the program of a container is in a user namespace."""
    if backend in ("builtin", "bwrap") or id_maps.is_ordinary_user():
        return True
    return backend in ("runc", "crun") and bool(id_maps.choose_maps(container).users)


def _list_requested(container: Container) -> list[str]:
    """Return the options of `ISOLATORS` that the container uses otherwise than by default."""
    isolation, default = container.isolation, Isolation()
    limits, no_limits = isolation.limits, Limits()
    in_memory = [mount for mount in container.mounts if not mount.source]
    requested = {
        "--security-opt seccomp=": isolation.seccomp != DEFAULT_SECCOMP,
        "--security-opt no-new-privileges=false": not isolation.no_new_privileges,
        "--memory": limits.memory,
        "--cpus": limits.cpus,
        "--cpu-shares": limits.cpu_shares,
        "--pids-limit": limits.pids != no_limits.pids and limits.pids,
        "--volume": any(_is_writable_volume(mount) for mount in container.mounts),
        "--volume :bind": not all(mount.recursive for mount in container.mounts),
        "--volume :z": any(mount.relabel for mount in container.mounts),
        "--network host": container.network == "host",
        "--tty": _wants_terminal(container),
        "--ulimit": isolation.rlimits,
        "--oom-score-adj": isolation.oom_score is not None,
        "--device": isolation.devices,
        "--tmpfs": in_memory,
        "--tmpfs /dev/…": any(
            mount.target.startswith("/dev/") and (mount.no_exec or not _is_size_and_mode(mount.data))
            for mount in in_memory
        ),
        "--shm-size": isolation.shm_size != default.shm_size,
        "--hostname": container.hostname != DEFAULT_HOSTNAME,
        "--sysctl": isolation.sysctls,
        "--security-opt unmask=": isolation.unmasked,
        "--security-opt apparmor=": isolation.apparmor,
        "--security-opt label=": isolation.selinux,
        "--userns": isolation.user_namespace == "keep-id",
        "resource/block-bandwidth, resource/block-iops": limits.block_bandwidth or limits.block_operations,
        "--pid pod": container.pod_pids,
        "eventHandlers": container.pre_start or container.post_stop,
        "socketActivated": container.listen,
        "socketActivated with --pid pod": container.listen and container.pod_pids,
    }
    return [option for option, is_used in requested.items() if is_used]


def _is_size_and_mode(data: str) -> bool:
    return all(part.partition("=")[0] in ("size", "mode", "") for part in data.split(","))


def _wants_terminal(container: Container) -> bool:
    if container.terminal is not None:
        return container.terminal
    return os.isatty(0) and os.isatty(1)


def _is_writable_volume(mount: Mount) -> bool:
    is_own_file = mount.target in ("/etc/hosts", "/etc/resolv.conf", "/etc/hostname")
    return bool(mount.source) and not mount.read_only and not is_own_file
