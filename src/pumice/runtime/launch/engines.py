"""The three ways to isolate a program: their descriptors and files, and what their exit codes mean.

Each engine runs one container, from `start` to `close`.
"""

from __future__ import annotations

import os

from pumice.errors import SandboxError
from pumice.runtime.launch import bundles
from pumice.runtime.launch.model import (
    BUNDLE,
    BWRAP,
    MACHINE,
    MACHINE_APP,
    MAPPED_BWRAP,
    SHIFTED_BUNDLE,
    Start,
)
from pumice.runtime.sandbox.argument_codec import encode_arguments
from pumice.runtime.sandbox.descriptors import create_memory_file, move_above_sockets
from pumice.runtime.sandbox.shifted_root import HOST_SCRATCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from pumice.runtime.launch.model import Launch

    class Engine(Protocol):
        """What runs one container."""

        def start(self, launch: Launch, scratch: str) -> Start:
            """Open what the launch needs; ``scratch`` is a directory for temporary files."""

        def finish(self, code: int) -> int:
            """Return the exit code of the program; raises SandboxError if it was not started."""

        def close(self) -> None:
            """Remove what `start` created."""


_MAX_STATUS = 1 << 16
_MAX_LOG = 1 << 20


def choose_engine(launch: Launch) -> Engine:
    """Return a new engine for a launch."""
    if launch.kind in (BWRAP, MAPPED_BWRAP):
        return BwrapEngine()
    if launch.kind in (BUNDLE, SHIFTED_BUNDLE):
        return BundleEngine()
    if launch.kind == MACHINE:
        from pumice.runtime.launch.machine import MachineEngine

        return MachineEngine()
    if launch.kind == MACHINE_APP:
        from pumice.runtime.launch.machine import MachineAppEngine

        return MachineAppEngine()
    return SandboxEngine()


def open_filter(launch: Launch) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the descriptor of the filter of system calls and its option; both empty if there is none."""
    if not launch.filter:
        return (), ()
    descriptor = create_memory_file(launch.filter)
    return (descriptor,), ("--seccomp", str(descriptor))


def open_handlers(launch: Launch, start: Start, open_launch: Callable[[Launch, str], Start]) -> Start:
    """Return a start that also has the event handlers of the launch, each of which ``open_launch`` opens.

    The sandbox reads the options and the program of a handler from a memory file.
    """
    options, descriptors = [*start.options], [*start.descriptors]
    for name, handler in launch.handlers.items():
        opened = open_launch(handler, name)
        arguments = create_memory_file(encode_arguments((*opened.options, "--", *opened.program)))
        options += (f"--{name}-file", str(arguments))
        descriptors += (*opened.descriptors, arguments)
    return Start(options, start.program, descriptors, start.retained)


def _count_sockets(launch: Launch) -> int:
    """Return how many sockets the program of an engine gets; they are its first descriptors."""
    return launch.options.count("--listen")


def _move_up(launch: Launch, descriptor: int) -> int:
    """Return a descriptor that is not in the way of the sockets of the program."""
    count = _count_sockets(launch)
    return move_above_sockets(descriptor, count, is_inheritable=True) if count else descriptor


class SandboxEngine:
    """The built-in sandbox, which does everything itself."""

    def start(self, launch: Launch, scratch: str) -> Start:  # noqa: ARG002 - all in memory
        """Open the filter."""
        descriptors, options = open_filter(launch)
        return Start((*launch.options, *options), launch.program, (*descriptors, *launch.inherited))

    def finish(self, code: int) -> int:
        """Return ``code``, which is that of the program."""
        return code

    def close(self) -> None:
        """Do nothing."""


class BwrapEngine:
    """bubblewrap, which reads its options from a memory file and reports in JSON."""

    def __init__(self) -> None:
        self._status = -1

    def start(self, launch: Launch, scratch: str) -> Start:  # noqa: ARG002 - all in memory
        """Open the pipe of the report, the filter and the options."""
        self._status, writer = os.pipe()
        status = _move_up(launch, writer)
        start = _open_bwrap(launch, ("--json-status-fd", str(status)), (status,))
        start = Start(start.options, start.program, start.descriptors, (self._status,))
        return open_handlers(launch, start, lambda handler, _: _open_bwrap(handler))

    def finish(self, code: int) -> int:
        """Return ``code``, which bwrap takes from the program; raises SandboxError if nothing was run."""
        os.set_blocking(self._status, False)
        report = b""
        try:
            while len(report) < _MAX_STATUS and (data := os.read(self._status, 4096)):
                report += data
        except BlockingIOError:
            pass
        if b'"exit-code"' not in report and code < 128:
            raise SandboxError("bwrap could not start the program", hint="see its message above")
        return code

    def close(self) -> None:
        """Close the pipe on which bwrap reports."""
        if self._status >= 0:
            os.close(self._status)
            self._status = -1


def _open_bwrap(launch: Launch, words: Sequence[str] = (), reports: Sequence[int] = ()) -> Start:
    """Open what one bwrap needs, with more options and the descriptors on which it reports."""
    filters = [_move_up(launch, create_memory_file(launch.filter))] if launch.filter else []
    words = [*words, *(word for descriptor in filters for word in ("--seccomp", str(descriptor)))]
    kept: list[int] = []
    own: list[int] = []
    own_options: tuple[str, ...] = ()
    if launch.kind == MAPPED_BWRAP:
        (info, info_writer), (ready_reader, ready) = os.pipe(), os.pipe()
        kept, own = [_move_up(launch, info_writer), _move_up(launch, ready_reader)], [info, ready]
        # bwrap would leave the second one to the program. With --block-fd, it reads on and closes it.
        words += ("--info-fd", str(kept[0]), "--userns-block-fd", str(kept[1]), "--block-fd", str(kept[1]))
        own_options = ("--map-info", str(info), "--map-ready", str(ready))
    settings = launch.settings + b"".join(word.encode() + b"\0" for word in words)
    descriptors = (*reports, *filters, *kept, _move_up(launch, create_memory_file(settings)))
    keep = [argument for descriptor in descriptors for argument in ("--keep", str(descriptor))]
    bwrap, *program = launch.program
    command = (bwrap, "--args", str(descriptors[-1]), "--", *program)
    options = (*launch.options, *own_options, *keep)
    return Start(options, command, (*descriptors, *own, *launch.inherited))


def _has_mknod(config: bytes) -> bool:
    """Return whether the capabilities in a ``config.json`` allow the program to create device nodes.

    A word of the program could have the same name, but no text can have these quotation marks.
    """
    return b'"CAP_MKNOD"' in config.partition(b'"bounding":[')[2].partition(b"]")[0]


class BundleEngine:
    """runc or crun, with its own bundle and state directory."""

    def __init__(self) -> None:
        self._bundle = ""
        self._lock = -1
        self._name = ""

    def start(self, launch: Launch, scratch: str) -> Start:
        """Write the bundle below ``scratch``."""
        self._bundle, self._lock = bundles.create_bundle(scratch)
        start = self._open_bundle(launch, "")
        options = ("--bundle", self._bundle) if launch.kind == SHIFTED_BUNDLE else ()
        start = Start((*start.options, *options), start.program, launch.inherited, (self._lock,))
        return open_handlers(launch, start, self._open_bundle)

    def _open_bundle(self, launch: Launch, name: str) -> Start:
        """Write the bundle of the program, or in it that of the event handler ``name``."""
        directory = f"{self._bundle}/{name}".rstrip("/")
        if name:
            os.mkdir(directory, 0o700)
        os.mkdir(f"{directory}/state", 0o700)
        with open(f"{directory}/config.json", "wb") as file:
            file.write(launch.settings)
        engine = launch.program[0]
        self._name = os.path.basename(engine)
        is_shifted = launch.kind == SHIFTED_BUNDLE
        bundle = f"{HOST_SCRATCH}/bundle/{name}".rstrip("/") if is_shifted else directory
        sockets = _count_sockets(launch)
        # crun cannot create control groups without the rights of root. With them, it leaves ours, and their
        # limits, which only a program that can create device nodes is worth.
        has_rights = os.geteuid() == 0 and not is_shifted
        is_disabled = self._name == "crun" and not (has_rights and _has_mknod(launch.settings))
        command = (
            *(engine, *(("--cgroup-manager", "disabled") if is_disabled else ())),
            *("--root", f"{bundle}/state", "--log", f"{bundle}/log"),
            *("--log-format", "json", "run", "--bundle", bundle),
            *(("--preserve-fds", str(sockets)) if sockets else ()),
            os.path.basename(self._bundle),
        )
        return Start(launch.options, command)

    def finish(self, code: int) -> int:
        """Return ``code``; raises SandboxError if the log says that the engine failed."""
        message = self._logged_error() if code else ""
        if message:
            raise SandboxError(f"{self._name} could not run the program ({message})")
        return code

    def close(self) -> None:
        """Remove the bundle with the state of the engine."""
        if self._bundle:
            bundles.remove_bundle(self._bundle)
            os.close(self._lock)
            self._bundle = ""

    def _logged_error(self) -> str:
        try:
            with open(f"{self._bundle}/log", "rb") as file:
                data = file.read(_MAX_LOG)
        except OSError:
            return ""
        if not data:
            return ""
        import json  # only after a failure, because it takes longer to import than all of this

        message = ""
        for line in data.splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and record.get("level") in ("error", "fatal"):
                message = str(record.get("msg", ""))
        return message
