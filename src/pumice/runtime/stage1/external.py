"""Shared code of the executors that run an external program."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import SandboxError
from pumice.runtime import id_maps, tree_lookup
from pumice.runtime.container import Mount
from pumice.runtime.isolation import seccomp_filter
from pumice.runtime.launch.errors import NotRunnableError
from pumice.runtime.sandbox import errors, options, program_check
from pumice.runtime.sandbox.shifted_root import HOST_SCRATCH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pumice.runtime.container import Container, IdMaps
    from pumice.runtime.launch.model import Launch

_MOUNTED_BY_ENGINES = ("/dev/", "/sys/")


def find_program(program: str, package: str) -> str:
    """Return the path of ``program``; raises SandboxError if it is not installed."""
    path = _look_up(program)
    if path is None:
        raise SandboxError(
            f"{program} is not installed",
            hint=f"install {package}, or use --stage1 builtin",
        )
    return path


def is_installed(program: str) -> bool:
    """Return whether ``program`` is installed."""
    return _look_up(program) is not None


def _look_up(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin")


def load_filter(container: Container) -> bytes:
    """Return the compiled filter of system calls, empty if there is none."""
    cache = Path(container.filters) if container.filters else None
    return seccomp_filter.load_filter(container.isolation, cache)


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise SandboxError for an argument that is not Unicode text or contains a NUL."""
    for argument in arguments:
        try:
            data = argument.encode(errors="surrogateescape")
        except UnicodeEncodeError:
            raise SandboxError(f"{argument[:100]!r} is not Unicode text") from None
        if b"\0" in data:
            raise SandboxError(f"{argument[:100]!r} contains a NUL")


def join_arguments(arguments: Sequence[str]) -> bytes:
    """Return words as the ``--args`` of bwrap; raises SandboxError as `check_words`."""
    check_arguments(arguments)
    return b"".join(argument.encode(errors="surrogateescape") + b"\0" for argument in arguments)


class HostPaths(msgspec.Struct, frozen=True):
    """The paths that a program of the host sees.

    ``root`` is the writable root, and ``mounts`` are those of the container. In a user namespace, the program
    has no rights of the host's root. ``is_shifted``: root of the host has given them up.
    """

    root: str
    mounts: tuple[Mount, ...]
    is_in_user_namespace: bool = True
    is_shifted: bool = False


def host_paths(container: Container, maps: IdMaps) -> HostPaths:
    """Return the paths of a container whose ids are ``maps``; see `sandbox.shifted_root`."""
    if id_maps.is_ordinary_user() or not maps.users:
        return HostPaths(f"{container.root}/root", container.mounts, id_maps.is_ordinary_user())
    mounts: list[Mount] = []
    for mount in container.mounts:
        if mount.source.startswith(f"{container.root}/"):
            source = f"{HOST_SCRATCH}/{mount.source[len(container.root) + 1 :]}"
        elif mount.source:
            source = f"{HOST_SCRATCH}/volumes/{len(mounts)}"
        else:
            source = ""
        mounts.append(msgspec.structs.replace(mount, source=source))
    return HostPaths(f"{HOST_SCRATCH}/root", tuple(mounts), is_shifted=True)


def find_own_targets(container: Container, name: str) -> frozenset[str]:
    """Return the targets that an engine must mount itself, because it mounts what is above them.

    The sandbox mounts all others before, with one look-up of each path: an engine looks up a path again for
    each step, and another container may exchange a link in a volume in between. So an engine gets no target
    below a volume. Raises SandboxError for these, and for targets that lead to files of the kernel, where an
    engine would mount, or which it would refuse in words of its own; control groups are none.
    """
    mounted: dict[str, str] = {}
    own: dict[str, str] = {}
    for mount in container.mounts:
        target = tree_lookup.resolve_with_mounts(Path(container.root), mount.target, mounted)
        if target is None or _is_of_kernel(target):
            raise SandboxError(
                f"{name} cannot use {mount.target!r}: it leads to files of the kernel,"
                " or through too many links",
                hint="use another path",
            )
        if target.startswith(_MOUNTED_BY_ENGINES):
            refuse_nested(target, own.values(), name)
            own[mount.target] = target
        mounted[target] = mount.source
    return frozenset(own)


def refuse_nested(target: str, mounted: Iterable[str], name: str) -> None:
    """Raise SandboxError if an engine would have to mount ``target`` below one of its own mounts."""
    if any(target.startswith(f"{above}/") for above in mounted):
        raise SandboxError(
            f"{name} cannot mount {target!r} inside another volume",
            hint="use another path, or --stage1 builtin",
        )


def _is_of_kernel(path: str) -> bool:
    """Return whether a path without links is in /proc or /sys, but for the control groups."""
    is_below = any(f"{path}/".startswith(f"{kernel_path}/") for kernel_path in ("/proc", "/sys"))
    return is_below and not path.startswith("/sys/fs/cgroup")


def plan_with_handlers(container: Container, plan: Callable[[Container], Launch]) -> Launch:
    """Return the launch of a container, with those of its event handlers; raises NotRunnableError.

    The engine runs each of them as it runs the program, in the same root and with the same mounts.
    """
    handlers = {"pre-start": container.pre_start, "post-stop": container.post_stop}
    launch = plan(container)
    for name, words in handlers.items():
        if words:
            launch.options += (f"--{name}", str(len(words)), *words)
            process = msgspec.structs.replace(container.process, arguments=words)
            launch.handlers[name] = plan(
                msgspec.structs.replace(
                    container, process=process, pre_start=(), post_stop=(), listen=(), terminal=False
                )
            )
    return launch


def find_inherited(container: Container) -> list[int]:
    """Return the descriptors of this process that the program gets."""
    return [int(number) for _, kind, number in container.listen if kind == "fd"]


def socket_variables(container: Container, process_id: int) -> dict[str, str]:
    """Return the variables that tell a program which sockets it has (sd_listen_fds(3))."""
    if not container.listen:
        return {}
    return {
        "LISTEN_FDS": str(len(container.listen)),
        "LISTEN_PID": str(process_id),
        "LISTEN_FDNAMES": ":".join(name for name, _, _ in container.listen),
    }


def check_program(container: Container) -> None:
    """Raise NotRunnableError if the program is missing in the tree or not executable.

    The engines would each report that differently, with exit code 1. A program on a mount is not checked.
    """
    process = container.process
    name, root = process.arguments[0], Path(container.root)
    if "/" in name:
        candidates = [name if name.startswith("/") else f"{process.directory}/{name}"]
    else:
        search = process.environment.get("PATH", options.DEFAULT_PATH)
        candidates = [f"{directory}/{name}" for directory in search.split(":")]
    if any(_is_mounted(path, container) for path in candidates):
        return
    programs = [program for path in candidates if (program := tree_lookup.resolve(root, path))]
    if not programs:
        raise NotRunnableError(name, errors.NOT_FOUND, "not found in the image")
    executable = [path for path in programs if _is_program(path)]
    if not executable:
        raise NotRunnableError(
            name, errors.NOT_EXECUTABLE, "cannot be executed: it is not an executable file"
        )
    _check_format(name, executable[0], container)


def _check_format(name: str, path: Path, container: Container) -> None:
    """Raise NotRunnableError if the kernel cannot execute the program, as the built-in sandbox does."""
    root = Path(container.root)
    head = tree_lookup.read_file(root, f"/{path.relative_to(root)}", program_check.HEAD)
    if head is None:
        return

    def exists(interpreter: str) -> bool:
        return tree_lookup.resolve(root, interpreter) is not None or _is_mounted(interpreter, container)

    machine = os.uname().machine
    if head[:4] == b"\x7fELF" and any(Path("/proc/sys/fs/binfmt_misc").glob("qemu-*")):
        machine = program_check.read_machine(head)
    reason = program_check.explain_failure(head, machine, exists)
    if reason.startswith("its "):  # what it needs is missing
        raise NotRunnableError(name, errors.NOT_FOUND, reason)
    if reason:
        raise NotRunnableError(name, errors.NOT_EXECUTABLE, f"cannot be executed: {reason}")


def _is_mounted(path: str, container: Container) -> bool:
    return any(
        f"{path}/".startswith(f"{mount.target.rstrip('/')}/") for mount in container.mounts if mount.source
    )


def _is_program(path: Path) -> bool:
    mode = path.lstat().st_mode
    return stat.S_ISREG(mode) and bool(mode & 0o111)
