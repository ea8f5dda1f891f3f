"""What is known of the container of an app: what was planned, and what the kernel says while it runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from pumice.errors import PodError
from pumice.formats.lines import split_lines
from pumice.runtime.isolation.capabilities import NUMBERS
from pumice.runtime.isolation.model import DEFAULT_SECCOMP, Isolation
from pumice.runtime.pods import pod_store, processes, usage
from pumice.runtime.pods.execute import read_options
from pumice.runtime.pods.ports import list_ports, read_attachment
from pumice.runtime.pods.specifications import read_specification
from pumice.runtime.pods.supervisor import log_writer

if TYPE_CHECKING:
    from pumice.runtime.network.host_ports import PublishedPort
    from pumice.runtime.pod_inputs.model import PodInput
    from pumice.runtime.pods.pod_store import PodState
    from pumice.runtime.sandbox.options import Options
    from pumice.store.home import Home

_METADATA_URL = "AC_METADATA_URL"
_LIMITS = {
    "memory": ("memory.limit_in_bytes", "memory.max"),
    "pids": ("pids.max",),
    "cpu_quota": ("cpu.cfs_quota_us", "cpu.max"),
    "cpu_shares": ("cpu.shares", "cpu.weight"),
}
"""What limits of control groups are called in versions 1 and 2."""
_UNLIMITED = 1 << 62


class AppMount(msgspec.Struct, frozen=True, kw_only=True):
    """A mount: ``type`` is bind or tmpfs, ``options`` are those of a tmpfs."""

    type: str
    source: str
    target: str
    read_only: bool
    options: str


class AppUser(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of the user, the group and the supplementary groups of a program."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class AppIsolation(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for when an app was started, and its defaults.

    ``seccomp`` is default, unconfined or the path of a profile. ``rlimits`` are the soft and the hard
    limit by name, -1 for none.
    """

    capabilities: tuple[str, ...]
    ambient_capabilities: tuple[str, ...]
    seccomp: str
    no_new_privileges: bool
    read_only: bool
    user_namespace: str
    apparmor: str
    selinux: str
    unmasked: tuple[str, ...]
    devices: tuple[str, ...]
    sysctls: dict[str, str]
    rlimits: dict[str, tuple[int, int]]
    oom_score: int | None
    shm_size: int


class IsolationInForce(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel says of a running program; of a virtual machine, that of the process that runs it.

    ``namespaces`` are those that are not shared with this machine. Limits are null where control groups set
    none: ``memory`` in bytes, ``cpus`` in processors, ``cpu_shares`` as the version of the groups
    counts them.
    """

    capabilities: tuple[str, ...]
    bounding_capabilities: tuple[str, ...]
    no_new_privileges: bool
    has_seccomp_filter: bool
    namespaces: tuple[str, ...]
    control_groups: tuple[str, ...]
    memory: int | None
    pids: int | None
    cpus: float | None
    cpu_shares: int | None


class PodNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """The network of a pod: ``type`` is host, none or private. A private one has a name and a driver."""

    type: str
    name: str
    driver: str
    addresses: tuple[str, ...]


def read_specification_or_none(state: PodState) -> PodInput | None:
    """Return what was asked for when a pod was started, None if that is not known."""
    try:
        return read_specification(state)
    except PodError:
        return None


def read_plan_or_none(state: PodState) -> Options | None:
    """Return the options of the sandbox of an app, None if they are damaged."""
    try:
        return read_options(state)
    except PodError:
        return None


def list_mounts(plan: Options) -> tuple[AppMount, ...]:
    """Return the mounts of an app, apart from those that every container has."""
    mounts = []
    for kind, source, target in plan.mounts:
        is_tmpfs = kind.endswith("tmpfs")
        mounts.append(
            AppMount(
                type="tmpfs" if is_tmpfs else "bind",
                source="" if is_tmpfs else source,
                target=target,
                read_only="ro" in source.split(",") if is_tmpfs else "ro_" in kind,
                options=source if is_tmpfs else "",
            )
        )
    return tuple(mounts)


def show_environment(plan: Options) -> dict[str, str]:
    """Return the environment of a program without its secret for the metadata service."""
    environment = dict(plan.env)
    if _METADATA_URL in environment:
        address = urlsplit(environment[_METADATA_URL])
        environment[_METADATA_URL] = f"{address.scheme}://{address.netloc}/…"
    return environment


def describe_user(plan: Options) -> AppUser:
    """Return the user of a program."""
    return AppUser(uid=plan.uid, gid=plan.gid, groups=tuple(plan.groups))


def describe_isolation(plan: Options, requested: Isolation | None) -> AppIsolation:
    """Return the isolation of an app; ``requested`` is None if it is not known."""
    isolation = requested or Isolation(seccomp=DEFAULT_SECCOMP)
    return AppIsolation(
        capabilities=_name_capabilities(plan.capabilities),
        ambient_capabilities=_name_capabilities(plan.ambient),
        seccomp=isolation.seccomp,
        no_new_privileges=not plan.new_privileges,
        read_only=plan.read_only,
        user_namespace=isolation.user_namespace,
        apparmor=isolation.apparmor,
        selinux=isolation.selinux,
        unmasked=tuple(plan.unmasked),
        devices=tuple(target for _, target in plan.devices),
        sysctls=dict(plan.sysctls),
        rlimits={limit.name: (limit.soft, limit.hard) for limit in isolation.rlimits},
        oom_score=int(plan.oom_score) if plan.oom_score else None,
        shm_size=plan.shm_size or isolation.shm_size,
    )


def _name_capabilities(numbers: list[int]) -> tuple[str, ...]:
    return tuple(name for name, number in NUMBERS.items() if number in numbers)


def read_isolation_in_force(state: PodState) -> IsolationInForce | None:
    """Return what isolates the program of a running app, None if it does not run."""
    try:
        program = processes.find_program(state)
        status = _read_status(program) if program else {}
    except (PodError, OSError):
        return None
    if not program or not status:
        return None
    groups = usage.find_own_groups(program, state.pod.name if state.pod.app_of else "")
    limits = {name: _read_limit(groups, files) for name, files in _LIMITS.items()}
    return IsolationInForce(
        capabilities=_decode_capabilities(status.get("CapEff", "0")),
        bounding_capabilities=_decode_capabilities(status.get("CapBnd", "0")),
        no_new_privileges=status.get("NoNewPrivs") == "1",
        has_seccomp_filter=status.get("Seccomp") == "2",
        namespaces=_list_own_namespaces(program),
        control_groups=tuple(map(str, groups)),
        memory=_read_number(limits["memory"]),
        pids=_read_number(limits["pids"]),
        cpus=_read_cpus(groups, limits["cpu_quota"]),
        cpu_shares=_read_number(limits["cpu_shares"]),
    )


def _read_status(pid: int) -> dict[str, str]:
    lines = split_lines(Path(f"/proc/{pid}/status").read_text(errors="replace"))
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _decode_capabilities(text: str) -> tuple[str, ...]:
    bits = int(text, 16)
    return tuple(name for name, number in NUMBERS.items() if bits >> number & 1)


def _list_own_namespaces(pid: int) -> tuple[str, ...]:
    own = []
    for name in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"):
        with suppress(OSError):
            theirs, ours = (Path(f"/proc/{process}/ns/{name}").stat().st_ino for process in (pid, "self"))
            if theirs != ours:
                own.append(name)
    return tuple(own)


def _read_limit(groups: list[Path], names: tuple[str, ...]) -> str:
    """Return the content of the first of the files that exists, ``""`` if none does."""
    for directory in groups:
        for name in names:
            with suppress(OSError):
                return (directory / name).read_text().strip()
    return ""


def _read_number(text: str) -> int | None:
    return int(text) if text.isdigit() and int(text) < _UNLIMITED else None


def _read_cpus(groups: list[Path], quota: str) -> float | None:
    """Return how many processors a quota is: ``QUOTA PERIOD`` in version 2, two files in version 1."""
    words = [*quota.split(), _read_limit(groups, ("cpu.cfs_period_us",))][:2]
    if len(words) < 2 or not all(word.isdigit() for word in words) or not int(words[1]):
        return None
    return round(int(words[0]) / int(words[1]), 3)


def list_logs(state: PodState) -> tuple[str, ...]:
    """Return the files with the output of an app, the older ones first."""
    paths = (state.directory / name for name in (log_writer.PREVIOUS, log_writer.NAME))
    return tuple(str(path) for path in paths if path.exists())


def describe_network(state: PodState, home: Home) -> PodNetwork:
    """Return the network of a pod; that of a pod that has ended has no addresses.

    Nothing is known of it if the plan of the pod is damaged.
    """
    try:
        kind = read_options(pod_store.read_first_app(state)).network
        record = read_attachment(state, home) if state.has_program else {}
    except PodError:
        kind, record = "", {}
    return PodNetwork(
        type=kind,
        name=str(record.get("network", "")),
        driver=str(record.get("driver", "")),
        addresses=tuple(map(str, record.get("addresses", ()))),
    )


def list_known_ports(state: PodState, home: Home) -> list[PublishedPort]:
    """Return the published ports of a running pod; none if it has ended, or if its plan is damaged."""
    try:
        return list_ports(state, home)
    except PodError:
        return []
