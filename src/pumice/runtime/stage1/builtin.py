"""The built-in sandbox, which needs no other program."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from pumice.runtime import id_maps
from pumice.runtime.isolation import capabilities
from pumice.runtime.isolation.model import DEFAULT_SECCOMP, UNCONFINED
from pumice.runtime.launch import model
from pumice.runtime.launch.model import Launch
from pumice.runtime.stage1 import external

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pumice.runtime.container import Container
    from pumice.runtime.isolation.model import Isolation


class Builtin:
    """The stage 1 in which `pumice.runtime.sandbox` does everything itself."""

    def plan(self, container: Container) -> Launch:
        """Translate the container to options of the sandbox."""
        options = (*common_options(container), *_options(container), *_isolation_options(container))
        return Launch(
            model.SANDBOX,
            options,
            container.process.arguments,
            filter=external.load_filter(container),
            inherited=external.find_inherited(container),
        )


def common_options(container: Container) -> Iterator[str]:
    """Yield the options of the sandbox that do not depend on what isolates the program."""
    yield from ("--root", container.root, "--die-with-parent")
    for name, text in container.files:
        yield from ("--file", name, text)
    if has_sandbox_network(container):
        yield from ("--network", container.network)
    if container.pod_pids:
        yield "--pod-pids"
    for socket in container.listen:
        yield from ("--listen", *socket)


def has_sandbox_network(container: Container) -> bool:
    """Return whether the sandbox itself creates or joins the network, so that its sockets are in that."""
    return container.network == "private" or container.is_in_pod or bool(container.listen)


def _options(container: Container) -> Iterator[str]:
    process = container.process
    yield from ("--uid", str(process.uid), "--gid", str(process.gid), "--cwd", process.directory)
    yield from ("--hostname", container.hostname, "--network", container.network)
    for group in process.groups:
        yield from ("--group", str(group))
    for name, value in process.environment.items():
        yield from ("--env", f"{name}={value}")
    yield from mount_options(container)
    if container.init:
        yield "--init"
    yield from _command_options(container)
    yield "--terminal"
    if container.last_pid:
        yield from ("--last-pid", str(container.last_pid))
    yield from _root_options(container)


def mount_options(container: Container) -> Iterator[str]:
    """Yield the options of the sandbox for volumes, and for a read-only root."""
    for mount in container.mounts:
        if not mount.source:
            yield from ("--noexec-tmpfs" if mount.no_exec else "--tmpfs", mount.tmpfs_options, mount.target)
        else:
            kind = "ro-bind" if mount.read_only else "bind"
            yield from (f"--{'' if mount.recursive else 'flat-'}{kind}", mount.source, mount.target)
    if container.read_only:
        yield "--read-only"


def _command_options(container: Container) -> Iterator[str]:
    """Yield the commands that run besides the program."""
    for command in container.setup:
        yield from ("--before", str(len(command)), *command)
    for option, handler in (("--pre-start", container.pre_start), ("--post-stop", container.post_stop)):
        if handler:
            yield from (option, str(len(handler)), *handler)


def _isolation_options(container: Container) -> Iterator[str]:
    isolation = container.isolation
    yield from ("--capabilities", _numbers(isolation.capabilities))
    yield from ("--ambient", _numbers(isolation.added_capabilities))
    if isolation.seccomp not in (DEFAULT_SECCOMP, UNCONFINED):
        yield "--own-filter"
    if isolation.exact_filter:
        yield "--exact-filter"
    if isolation.explains_refused_calls:
        yield "--explain"
    if not isolation.no_new_privileges:
        yield "--new-privileges"
    yield from limit_options(isolation)
    for device in isolation.devices:
        yield from ("--device", device.source, device.target)
    if isolation.shm_size:
        yield from ("--shm-size", str(isolation.shm_size))
    for name, value in isolation.sysctls:
        yield from ("--sysctl", name, value)
    for path in isolation.unmasked:
        yield from ("--unmask", path)


def _numbers(names: Iterable[str]) -> str:
    return ",".join(str(capabilities.NUMBERS[name]) for name in names)


def limit_options(isolation: Isolation) -> Iterator[str]:
    """Yield the options of the sandbox for limits that also apply to an external program."""
    for limit in isolation.rlimits:
        number = getattr(resource, f"RLIMIT_{limit.name.upper()}")
        yield from ("--rlimit", str(number), str(limit.soft), str(limit.hard))
    if isolation.oom_score is not None:
        yield from ("--oom-score", str(isolation.oom_score))


def _root_options(container: Container) -> Iterator[str]:
    """Yield how the root becomes writable, and who owns what is in it."""
    if container.in_place:
        yield "--in-place"
        yield from ("--record-owners", container.owner_record) if container.owner_record else ()
        yield from id_maps.map_options(id_maps.single_id_maps())
        return
    maps = id_maps.choose_maps(container)
    yield from id_maps.map_options(maps)
    if container.owners and id_maps.can_set_owners(maps):
        yield from ("--owners", container.owners)
