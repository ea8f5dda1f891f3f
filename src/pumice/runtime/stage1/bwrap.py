"""bubblewrap as stage 1 (bwrap(1), 0.5 or newer)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import SandboxError
from pumice.runtime import sandbox
from pumice.runtime.stage1 import Start, programs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.runtime.container import Container

_MAX_STATUS = 1 << 16


class Bwrap:
    """Runs ``bwrap``; always with one user id, whoever starts it."""

    def __init__(self) -> None:
        self._status = -1
        self._report = b""

    def start(self, container: Container, scratch: Path) -> Start:  # noqa: ARG002 - all in memory
        """Translate the container to bwrap's options, which travel in a file that only it sees."""
        bwrap = programs.need("bwrap", "bubblewrap")
        programs.check(container)
        self._status, status = os.pipe()
        options = [*_options(container), "--json-status-fd", str(status)]
        filter_program = sandbox.seccomp(os.uname().machine)
        descriptors = [status]
        if filter_program:
            descriptors.append(programs.memory(filter_program))
            options += ["--seccomp", str(descriptors[-1])]
        descriptors.append(programs.memory("\0".join([*options, ""]).encode(errors="surrogateescape")))
        command = (bwrap, "--args", str(descriptors[-1]), "--", *container.process.arguments)
        keep = [word for descriptor in descriptors for word in ("--keep", str(descriptor))]
        return Start(("--only-root", *keep), command, tuple(descriptors))

    def target(self, pid: int) -> int:
        """Return the program's own process: bwrap passes nothing on."""
        self._read()
        first = self._value("child-pid")
        if first is None:
            return pid
        with suppress(OSError, ValueError):
            children = Path(f"/proc/{first}/task/{first}/children").read_text()
            return int(children.split()[0])
        return first

    def finish(self, code: int) -> int:
        """Return the exit code that bwrap reports; without a report nothing was run."""
        self._read()
        reported = self._value("exit-code")
        if reported is None and code < 128:
            raise SandboxError("bwrap could not start the program", hint="its own message is above")
        return code if reported is None else reported

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
    for namespace in ("user", "pid", "ipc", "uts"):
        yield f"--unshare-{namespace}"
    yield from ("--unshare-cgroup-try", "--die-with-parent", "--hostname", container.hostname)
    if container.network == "none":
        yield "--unshare-net"
    yield from ("--uid", str(process.uid), "--gid", str(process.gid), "--cap-drop", "ALL")
    for capability in programs.CAPABILITIES if process.uid == 0 else ():
        yield from ("--cap-add", capability)
    yield from _machine(container)
    yield from _places(container)
    yield "--clearenv"
    for name, value in process.environment.items():
        yield from ("--setenv", name, value)


def _machine(container: Container) -> Iterator[str]:
    """Yield the root and what the kernel shows of the machine, without what is none of its business."""
    yield from ("--bind", programs.writable(container), "/", "--proc", "/proc", "--dev", "/dev")
    yield from ("--ro-bind", "/sys", "/sys")
    for path in sandbox.FROZEN:
        yield from ("--ro-bind-try", path, path)
    for path in filter(os.path.exists, sandbox.MASKED):  # this machine's, and so those of its new /proc
        folder = Path(path).is_dir()
        yield from ("--tmpfs", path, "--remount-ro", path) if folder else ("--ro-bind", "/dev/null", path)


def _places(container: Container) -> Iterator[str]:
    for directory in ("/tmp", "/var/tmp", "/run") if container.read_only else ():  # noqa: S108 - inside
        yield from ("--tmpfs", directory)
    for mount in container.mounts:
        if not mount.source:
            yield from ("--tmpfs", mount.target)
        else:
            yield from ("--ro-bind" if mount.read_only else "--bind", mount.source, mount.target)
    directory = container.process.directory
    yield from ("--dir", directory, "--chdir", directory)
    if container.read_only:
        yield from ("--remount-ro", "/")
