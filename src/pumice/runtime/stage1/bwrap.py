"""bubblewrap as stage 1 (bwrap(1), 0.5 or newer)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import SandboxError
from pumice.runtime import sandbox, tree_lookup
from pumice.runtime.stage1 import Start, external

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.runtime.container import Container

_MAX_STATUS = 1 << 16
_OWN = ("/proc", "/dev", "/sys")
# What is below these are links that only the kernel can follow, and they lead out.
_KERNELS = ("/proc", "/sys", "/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr")


class Bwrap:
    """Runs ``bwrap``; always with one user id, whoever starts it."""

    def __init__(self) -> None:
        self._status = -1
        self._report = b""

    def start(self, container: Container, scratch: Path) -> Start:  # noqa: ARG002 - all in memory
        """Translate the container to bwrap's options, which travel in a file that only it sees."""
        bwrap = external.need("bwrap", "bubblewrap")
        external.check(container)
        self._status, status = os.pipe()
        options = [*_options(container), "--json-status-fd", str(status)]
        filter_program = sandbox.seccomp(os.uname().machine)
        descriptors = [status]
        if filter_program:
            descriptors.append(external.memory(filter_program))
            options += ["--seccomp", str(descriptors[-1])]
        descriptors.append(external.memory(external.null_separated(options)))
        command = (bwrap, "--args", str(descriptors[-1]), "--", *container.process.arguments)
        keep = [word for descriptor in descriptors for word in ("--keep", str(descriptor))]
        init = ("--init",) if container.init else ()
        # bwrap passes no signals on: they go to its child, which is the program or bwrap's init.
        wishes = ("--only-root", "--signal-child", "--terminal", *init, *keep)
        return Start(wishes, command, tuple(descriptors))

    def target(self, pid: int) -> int:
        """Return ``pid``: it passes signals on."""
        return pid

    def finish(self, code: int) -> int:
        """Return ``code``, which is bwrap's and so the program's; without a report nothing was run."""
        self._read()
        if self._value("exit-code") is None and code < 128:
            raise SandboxError("bwrap could not start the program", hint="its own message is above")
        return code

    def close(self) -> None:
        """Close the pipe on which bwrap reports."""
        if self._status >= 0:
            os.close(self._status)
            self._status = -1

    def _read(self) -> None:
        os.set_blocking(self._status, False)
        with suppress(BlockingIOError):
            while len(self._report) < _MAX_STATUS and (piece := os.read(self._status, 4096)):
                self._report += piece

    def _value(self, key: str) -> int | None:
        import msgspec

        for line in self._report.splitlines():
            with suppress(msgspec.MsgspecError):
                record = msgspec.json.decode(line)
                if isinstance(record, dict) and isinstance(record.get(key), int):
                    return int(record[key])
        return None


def _options(container: Container) -> Iterator[str]:
    process = container.process
    if not container.init:
        yield "--as-pid-1"
    for namespace in ("user", "pid", "ipc", "uts"):
        yield f"--unshare-{namespace}"
    yield from ("--unshare-cgroup-try", "--die-with-parent", "--hostname", container.hostname)
    if container.network == "none":
        yield "--unshare-net"
    yield from ("--uid", str(process.uid), "--gid", str(process.gid), "--cap-drop", "ALL")
    for capability in external.CAPABILITIES if process.uid == 0 else ():
        yield from ("--cap-add", capability)
    yield from _machine(container)
    yield from _places(container)
    yield "--clearenv"
    for name, value in process.environment.items():
        yield from ("--setenv", name, value)


def _machine(container: Container) -> Iterator[str]:
    """Yield the root and what the kernel shows of the machine, without what is none of its business."""
    for path in _OWN:
        if tree_lookup.locate(Path(container.root), path, {}) != path:
            raise SandboxError(
                f"bwrap cannot run an image whose {path} is a link", hint="use the built-in stage 1"
            )
    yield from ("--bind", external.writable(container), "/", "--proc", "/proc", "--dev", "/dev")
    yield from ("--ro-bind", "/sys", "/sys")
    for path in sandbox.FROZEN:
        yield from ("--ro-bind-try", path, path)
    for path in filter(
        os.path.exists, sandbox.masked_paths()
    ):  # this machine's, and so those of its new /proc
        folder = Path(path).is_dir()
        yield from ("--tmpfs", path, "--remount-ro", path) if folder else ("--ro-bind", "/dev/null", path)


def _places(container: Container) -> Iterator[str]:
    places = _Places(Path(container.root))
    for directory in ("/tmp", "/var/tmp", "/run") if container.read_only else ():  # noqa: S108 - inside
        yield from ("--tmpfs", places.add(directory, ""))
    for mount in container.mounts:
        target = places.add(mount.target, mount.source)
        if not mount.source:
            yield from ("--tmpfs", target)
        else:
            yield from ("--ro-bind" if mount.read_only else "--bind", mount.source, target)
    directory = places.resolve(container.process.directory)
    yield from ("--dir", directory, "--chdir", directory)
    if container.read_only:
        yield from ("--remount-ro", "/")


class _Places:
    """The places that bwrap makes, with all links resolved inside the root.

    bwrap itself follows links, and ``..``, in a root of its own that has this machine's below
    ``/oldroot``: it would make files and directories there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._mounted = dict.fromkeys(_OWN, "")

    def add(self, path: str, source: str) -> str:
        target = self.resolve(path)
        self._mounted[target] = source
        return target

    def resolve(self, path: str) -> str:
        target = tree_lookup.locate(self._root, path, self._mounted)
        if target is None or any(target == own or target.startswith(own + "/") for own in _KERNELS):
            raise SandboxError(
                f"bwrap cannot use {path!r}: it leads to the kernel's own files, or in circles",
                hint="use another path, or the built-in stage 1",
            )
        return target
