"""bubblewrap as stage 1 (bwrap(1), 0.5 or newer)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import SandboxError
from pumice.runtime import id_maps, tree_lookup
from pumice.runtime.launch import model
from pumice.runtime.launch.model import Launch
from pumice.runtime.sandbox import masked_paths
from pumice.runtime.stage1 import external
from pumice.runtime.stage1.builtin import (
    common_options,
    has_sandbox_network,
    limit_options,
    mount_options,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.runtime.container import Container, Mount
    from pumice.runtime.stage1.external import HostPaths

_KERNEL_MOUNTS = ("/proc", "/dev", "/sys")
# Below these are links that only the kernel can follow, and they lead out of the root.
_UNUSABLE = ("/proc", "/sys", "/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr")


class Bwrap:
    """The stage 1 that runs ``bwrap``; the ids of the container are those of the built-in sandbox."""

    def plan(self, container: Container) -> Launch:
        """Translate the container to options of bwrap."""
        return external.plan_with_handlers(container, self._plan)

    def _plan(self, container: Container) -> Launch:
        bwrap = external.find_program("bwrap", "bubblewrap")
        external.check_program(container)
        maps = id_maps.choose_maps(container)
        paths = external.host_paths(container, maps)
        is_mapped = (bool(maps.users) and id_maps.can_set_owners(maps)) or _is_root_with_own_ids(container)
        # In a namespace of other processes, the sandbox itself reaps orphans.
        init = ("--init",) if container.init and not container.pod_pids else ()
        # bwrap does not forward signals, so its child gets them: the program, or bwrap's init.
        own_options = (
            *("--only-root", "--signal-child", "--terminal", *init),
            *limit_options(container.isolation),
            *id_maps.map_options(maps),
            *("--mount-volumes", "--cwd", container.process.directory),
            *mount_options(container),
            *(word for path in _hidden_paths(container) for word in ("--hide", path)),
            *(("--owners", container.owners) if container.owners and id_maps.can_set_owners(maps) else ()),
            *(_user_options(container) if is_mapped else ()),
        )
        return Launch(
            model.MAPPED_BWRAP if is_mapped else model.BWRAP,
            (*common_options(container), *own_options),
            (bwrap, *container.process.arguments),
            filter=external.load_filter(container),
            settings=external.join_arguments([*_options(container, paths)]),
            inherited=external.find_inherited(container),
        )


def _is_root_with_own_ids(container: Container) -> bool:
    """Return whether the program is root of the host. With one id, it could not become another user."""
    process = container.process
    return not id_maps.is_ordinary_user() and (process.uid, process.gid) == (0, 0)


def _user_options(container: Container) -> Iterator[str]:
    """Yield the options that start bwrap as the user of the program, see `sandbox.inner_namespace`."""
    process = container.process
    yield from ("--own-streams", "--uid", str(process.uid), "--gid", str(process.gid))
    for group in process.groups:
        yield from ("--group", str(group))


def _options(container: Container, paths: HostPaths) -> Iterator[str]:
    process = container.process
    yield from ("--unshare-user", "--unshare-cgroup-try", "--die-with-parent")
    if not container.pod_pids:
        yield from ("--unshare-pid", *(() if container.init else ("--as-pid-1",)))
    if not container.is_in_pod:
        yield from ("--unshare-ipc", "--unshare-uts", "--hostname", container.hostname)
    if container.network == "none" and not has_sandbox_network(container):
        yield "--unshare-net"
    yield from ("--uid", str(process.uid), "--gid", str(process.gid), "--cap-drop", "ALL")
    isolation = container.isolation
    for name in isolation.capabilities if process.uid == 0 else isolation.added_capabilities:
        yield from ("--cap-add", f"CAP_{name}")
    yield from _root_options(container, paths.root)
    yield from _mount_options(container, paths.mounts)
    yield "--clearenv"
    # Its process id is 1, or 2 below the init of bwrap.
    sockets = external.socket_variables(container, 2 if container.init else 1)
    for name, value in (*process.environment.items(), *sockets.items()):
        yield from ("--setenv", name, value)


def _root_options(container: Container, root: str) -> Iterator[str]:
    """Yield the options for the root and the file systems of the kernel, with sensitive paths masked."""
    for path in _KERNEL_MOUNTS:
        if tree_lookup.resolve_with_mounts(Path(container.root), path, {}) != path:
            raise SandboxError(
                f"bwrap cannot run an image whose {path} is a symbolic link", hint="use --stage1 builtin"
            )
    yield from ("--bind", root, "/", "--proc", "/proc", "--dev", "/dev")
    yield from ("--ro-bind", "/sys", "/sys")
    if container.isolation.shm_size:
        yield from ("--size", str(container.isolation.shm_size), "--perms", "1777", "--tmpfs", "/dev/shm")
    for device in container.isolation.devices:
        yield from ("--dev-bind", device.source, device.target)
    unmasked = container.isolation.unmasked
    for path in masked_paths.select_paths(masked_paths.READ_ONLY_PATHS, unmasked):
        yield from ("--ro-bind-try", path, path)
    hidden = _hidden_paths(container)
    for path in _masked_paths(container):
        if path in hidden:
            continue
        if Path(path).is_dir():
            yield from ("--tmpfs", path, "--remount-ro", path)
        else:
            yield from ("--ro-bind", "/dev/null", path)


def _masked_paths(container: Container) -> list[str]:
    """Return the paths to mask; those that exist on this machine also exist in the new /proc."""
    paths = masked_paths.select_paths(masked_paths.list_masked_paths(), container.isolation.unmasked)
    return list(filter(os.path.exists, paths))


def _hidden_paths(container: Container) -> list[str]:
    """Return the masked directories of /sys: the sandbox hides them before bwrap, which binds all of it.

    bwrap would read the list of all mounts for each of them.
    """
    return [path for path in _masked_paths(container) if path.startswith("/sys/") and Path(path).is_dir()]


def _mount_options(container: Container, mounts: Sequence[Mount]) -> Iterator[str]:
    """Yield the options for what is below /dev.

    The sandbox mounts everything else on the root, because bwrap looks up a path again for each of its steps,
    and another container may exchange a link in a volume in between.
    """
    mount_points = _MountPoints(Path(container.root))
    own: list[str] = []
    for mount in mounts:
        target = mount_points.add(mount.target, mount.source)
        if not target.startswith("/dev/"):
            continue
        external.refuse_nested(target, own, "bwrap")
        own.append(target)
        if not mount.source:
            yield from (*_tmpfs_options(mount.data), "--tmpfs", target)
            yield from ("--remount-ro", target) if mount.read_only else ()
        else:
            yield from ("--ro-bind" if mount.read_only else "--bind", mount.source, target)
    yield from ("--chdir", mount_points.resolve(container.process.directory))
    if container.read_only:
        yield from ("--remount-ro", "/")


def _tmpfs_options(data: str) -> Iterator[str]:
    """Yield the size and mode of a tmpfs; bwrap has no other options for it."""
    values = dict(part.partition("=")[::2] for part in (data or "mode=1777").split(","))
    if "size" in values:
        yield from ("--size", values["size"])
    yield from ("--perms", values.get("mode", "1777"))


class _MountPoints:
    """The mount points, with links resolved inside the root, as far as they are known before the start."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._mounted = dict.fromkeys(_KERNEL_MOUNTS, "")

    def add(self, path: str, source: str) -> str:
        target = self.resolve(path)
        self._mounted[target] = source
        return target

    def resolve(self, path: str) -> str:
        target = tree_lookup.resolve_with_mounts(self._root, path, self._mounted)
        if target is None or any(
            target == kernel_path or target.startswith(kernel_path + "/") for kernel_path in _UNUSABLE
        ):
            raise SandboxError(
                f"bwrap cannot use {path!r}: it leads to files of the kernel, or through too many links",
                hint="use another path, or --stage1 builtin",
            )
        return target
