"""runc and crun as stage 1: an OCI bundle and ``run`` (runtime-spec 1.0.2)."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pumice.errors import SandboxError, UsageError
from pumice.runtime import id_maps
from pumice.runtime.container import IdMaps
from pumice.runtime.isolation import seccomp_profile
from pumice.runtime.isolation.model import UNCONFINED
from pumice.runtime.launch import model
from pumice.runtime.launch.model import Launch
from pumice.runtime.sandbox import masked_paths
from pumice.runtime.stage1 import external
from pumice.runtime.stage1.builtin import common_options, has_sandbox_network, mount_options

if TYPE_CHECKING:
    from pumice.runtime.container import Container
    from pumice.runtime.isolation.model import Isolation
    from pumice.runtime.stage1.external import HostPaths

_VERSION = "1.0.2"
HYBRID = "/sys/fs/cgroup/unified"
"""Where version 2 of control groups is mounted if version 1 is used."""


class Runc:
    """The stage 1 that runs ``runc run`` or ``crun run`` with its own bundle and state directory."""

    def __init__(self, program: str) -> None:
        self._program = program

    def plan(self, container: Container) -> Launch:
        """Translate the container to a bundle; raises SandboxError if the user cannot be mapped."""
        return external.plan_with_handlers(container, self._plan)

    def _plan(self, container: Container) -> Launch:
        import msgspec

        if container.init:
            raise UsageError(
                f"{self._program} does not support --init",
                hint="omit --init, or use --stage1 builtin or bwrap",
            )
        program = external.find_program(self._program, self._program)
        external.check_program(container)
        own_targets = external.find_own_targets(container, self._program)
        maps = _choose_maps(container)
        paths = external.host_paths(container, maps)
        try:
            config = msgspec.json.encode(make_config(container, paths, own_targets))
        except UnicodeEncodeError:
            raise SandboxError(
                f"{self._program} only supports UTF-8 text", hint="use --stage1 builtin"
            ) from None
        owners = ("--owners", container.owners) if container.owners and id_maps.can_set_owners(maps) else ()
        crun_options = _crun_options(container) if self._program == "crun" else ()
        return Launch(
            model.SHIFTED_BUNDLE if paths.is_shifted else model.BUNDLE,
            (
                *common_options(container),
                *("--only-root", *crun_options, *id_maps.map_options(maps)),
                *(
                    "--mount-volumes",
                    "--cwd",
                    container.process.directory,
                    *mount_options(container),
                    *owners,
                ),
            ),
            (program, *container.process.arguments),
            settings=config,
            inherited=external.find_inherited(container),
        )


def choose_engine() -> str:
    """Return the faster of the installed engines that works with the control groups of this machine.

    crun uses no controller of version 1 if version 2 is mounted as well.
    """
    preferred = ("runc", "crun") if is_hybrid() else ("crun", "runc")
    return next((name for name in preferred if external.is_installed(name)), preferred[0])


def is_hybrid() -> bool:
    """Return whether both versions of control groups are mounted."""
    return Path(HYBRID, "cgroup.procs").exists()


def _crun_options(container: Container) -> tuple[str, ...]:
    """Return the options of the sandbox for crun, which passes streams on as they are.

    It refuses to run where it finds version 2 of control groups beside version 1, and makes its group there,
    too, if it makes any.
    """
    emptied = ("--empty", HYBRID) if is_hybrid() else ()
    if _terminal(container)["terminal"]:
        return emptied
    return (
        *emptied,
        "--own-streams",
        "--uid",
        str(container.process.uid),
        "--gid",
        str(container.process.gid),
    )


def _choose_maps(container: Container) -> IdMaps:
    if not id_maps.is_ordinary_user():
        return id_maps.choose_maps(container)
    process = container.process
    maps = container.maps or id_maps.subordinate_maps()
    if maps:
        return maps
    if (process.uid, process.gid) != (0, 0):
        raise SandboxError(
            f"cannot run as {process.uid}:{process.gid} without subordinate ids",
            hint="add yourself to /etc/subuid and /etc/subgid, or use --user 0 or --stage1 builtin",
        )
    return IdMaps(((0, os.getuid(), 1),), ((0, os.getgid(), 1),))


def make_config(container: Container, paths: HostPaths, own_targets: frozenset[str]) -> dict[str, Any]:
    """Return the ``config.json`` of the container, with the paths that the engine sees.

    It mounts ``own_targets`` itself; see `external.find_own_targets`.
    """
    return {
        "ociVersion": _VERSION,
        "process": _process(container),
        "root": {"path": paths.root, "readonly": container.read_only},
        **({} if container.is_in_pod else {"hostname": container.hostname}),
        "mounts": _mounts(container, paths, own_targets),
        "linux": _linux(container),
    }


def _process(container: Container) -> dict[str, Any]:
    """Return the program with its user and its limits (runtime-spec, config.md, "Process")."""
    process, isolation = container.process, container.isolation
    variables = {**process.environment, **external.socket_variables(container, 1)}
    return {
        **_terminal(container),
        "user": {"uid": process.uid, "gid": process.gid, "additionalGids": list(process.groups)},
        "args": list(process.arguments),
        "env": [f"{name}={value}" for name, value in variables.items()],
        "cwd": process.directory,
        "capabilities": _capabilities(container),
        "noNewPrivileges": isolation.no_new_privileges,
        "rlimits": [
            {
                "type": f"RLIMIT_{limit.name.upper()}",
                "soft": _unsigned(limit.soft),
                "hard": _unsigned(limit.hard),
            }
            for limit in isolation.rlimits
        ],
        **({} if isolation.oom_score is None else {"oomScoreAdj": isolation.oom_score}),
        **({"apparmorProfile": isolation.apparmor} if isolation.apparmor else {}),
        **({"selinuxLabel": isolation.selinux} if isolation.selinux else {}),
    }


def _capabilities(container: Container) -> dict[str, list[str]]:
    """Return the sets of capabilities: root has all in the bounding set, others those that were added."""
    capabilities = [f"CAP_{name}" for name in container.isolation.capabilities]
    added = [f"CAP_{name}" for name in container.isolation.added_capabilities]
    effective, ambient = (capabilities, []) if container.process.uid == 0 else (added, added)
    return {
        "bounding": capabilities,
        "effective": effective,
        "permitted": effective,
        "inheritable": ambient,
        "ambient": ambient,
    }


def _linux(container: Container) -> dict[str, Any]:
    """Return the namespaces and restrictions of the container (runtime-spec, config-linux.md)."""
    isolation = container.isolation
    kinds = ["pid", "mount", "cgroup"]
    if not container.is_in_pod:
        kinds += ["ipc", "uts"]
    if container.network == "none" and not has_sandbox_network(container):
        kinds.append("network")
    return {
        "namespaces": [{"type": kind} for kind in kinds],
        "maskedPaths": masked_paths.select_paths(masked_paths.list_masked_paths(), isolation.unmasked),
        "readonlyPaths": masked_paths.select_paths(masked_paths.READ_ONLY_PATHS, isolation.unmasked),
        **_seccomp(isolation),
        "sysctl": dict(isolation.sysctls),
        "resources": {"devices": [{"allow": False, "access": "rwm"}, *_allowed_devices(isolation)]},
    }


def _terminal(container: Container) -> dict[str, Any]:
    if container.terminal is not None:
        return {"terminal": container.terminal}
    if not (os.isatty(0) and os.isatty(1)):
        return {"terminal": False}
    size = os.get_terminal_size(0)
    return {"terminal": True, "consoleSize": {"height": size.lines, "width": size.columns}}


def _memory(target: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": "tmpfs", "source": "tmpfs", "options": list(options)}


def _bind(source: str, target: str, *options: str, kind: str = "rbind") -> dict[str, Any]:
    return {"destination": target, "type": "bind", "source": source, "options": [kind, *options]}


def _mounts(container: Container, paths: HostPaths, own_targets: frozenset[str]) -> list[dict[str, Any]]:
    mounts = _system_mounts(container, paths)
    for mount in paths.mounts:
        if mount.target not in own_targets:
            continue
        no_exec = ("noexec",) if mount.no_exec else ()
        if mount.source:
            mode = "ro" if mount.read_only else "rw"
            kind = "rbind" if mount.recursive else "bind"
            mounts.append(_bind(mount.source, mount.target, "nosuid", "nodev", *no_exec, mode, kind=kind))
        else:
            data = mount.tmpfs_options.split(",")
            mounts.append(_memory(mount.target, "nosuid", "nodev", *no_exec, *data))
    devices = container.isolation.devices
    return [*mounts, *(_bind(device.source, device.target, "nosuid", "noexec") for device in devices)]


def _system_mounts(container: Container, paths: HostPaths) -> list[dict[str, Any]]:
    """Return the mounts that every container has."""
    strict = ("nosuid", "noexec", "nodev")
    size = container.isolation.shm_size
    shm = (f"size={size}",) if size else ()
    own_view = container.network != "host" or not paths.is_in_user_namespace
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": list(strict)},
        _memory("/dev", "nosuid", "strictatime", "mode=755"),
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
        _memory("/dev/shm", *strict, "mode=1777", *shm),
        # Mounting a sysfs requires owning the network namespace; otherwise the host's is bound.
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*strict, "ro"]}
        if own_view
        else _bind("/sys", "/sys", *strict, "ro"),
    ]


def _seccomp(isolation: Isolation) -> dict[str, Any]:
    if isolation.seccomp == UNCONFINED:
        return {}
    data = seccomp_profile.read_profile(isolation.seccomp)
    machine = seccomp_profile.host_machine()
    profile = seccomp_profile.resolve_profile(data, isolation.capabilities, machine, isolation.seccomp)
    return {"seccomp": seccomp_profile.to_runtime_spec(profile, machine)}


def _allowed_devices(isolation: Isolation) -> list[dict[str, Any]]:
    rules = []
    for device in isolation.devices:
        status = Path(device.source).stat()
        kind = "b" if stat.S_ISBLK(status.st_mode) else "c"
        major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
        rules.append({"allow": True, "type": kind, "major": major, "minor": minor, "access": "rwm"})
    return rules


def _unsigned(limit: int) -> int:
    """Return a resource limit as runtime-spec has it, in which RLIM_INFINITY is 2**64-1."""
    return limit % (1 << 64)
