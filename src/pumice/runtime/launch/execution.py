"""Start the sandbox of a launch, wait for it, and return the exit code of the program."""

from __future__ import annotations

import os
import sys
import time

from pumice.runtime.launch.control_groups import create_groups, open_members
from pumice.runtime.launch.engines import choose_engine
from pumice.runtime.launch.errors import raise_reason
from pumice.runtime.launch.model import Start
from pumice.runtime.sandbox import __file__ as sandbox_file
from pumice.runtime.sandbox.argument_codec import encode_arguments
from pumice.runtime.sandbox.descriptors import create_memory_file
from pumice.runtime.sandbox.memory_watch import MemoryWatch
from pumice.runtime.sandbox.options import DEFAULT_PATH
from pumice.runtime.sandbox.signals import FORWARDED_SIGNALS, signal
from pumice.runtime.sandbox.supervision import wait_and_forward

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from pumice.runtime.launch.model import Launch

    Streams = tuple[int, int, int]
    Spawn = Callable[[Start, Streams], "Sandbox"]
    Watch = Callable[[int], AbstractContextManager[object]]
    Explain = Callable[[int, MemoryWatch, int], None]

MAX_REASON = 1 << 16
"""Bytes of a failure reason that are read."""
_SANDBOX = f"{os.path.dirname(sandbox_file)}/__main__.py"


class Network:
    """How a container gets a private network: a socket for the sandbox, and what connects the namespace."""

    __slots__ = ("connect", "descriptor")

    def __init__(self, descriptor: int, connect: Callable[[], None]) -> None:
        self.descriptor = descriptor
        self.connect = connect


class Sandbox:
    """A started sandbox: the descriptor of its failure reasons, its process, and what waits for the end.

    ``wait`` forwards signals, and returns the exit code.
    """

    __slots__ = ("pid", "reasons", "wait")

    def __init__(self, reasons: int, pid: int, wait: Callable[[], int] | None = None) -> None:
        self.reasons = reasons
        self.pid = pid
        self.wait = wait or (lambda: wait_and_forward(pid))


def execute_launch(
    launch: Launch,
    scratch: str,
    spawn: Spawn,
    *,
    streams: Streams = (0, 1, 2),
    network: Network | None = None,
    watch: Watch | None = None,
    explain: Explain | None = None,
) -> int:
    """Run a container and return the exit code of its program, 128+n for signal n.

    ``spawn`` starts the sandbox: `spawn_sandbox`, or `forking.start_quickly`. ``scratch`` is a directory for
    temporary files. ``streams`` are the descriptors that become standard input, output and error of
    the program. ``watch`` takes the process id of the sandbox, and returns a context that is open while
    it runs. ``explain`` gets the exit code, what watched the memory of the control groups, and the time of
    the start on the monotonic clock in microseconds. Raises SandboxError if the program cannot be started.
    """
    started = time.monotonic_ns() // 1000
    engine = choose_engine(launch)
    previous_mask = block_signals()
    try:
        group = create_groups(launch.groups, required=launch.needs_groups)
        memory = MemoryWatch(group.directories)
        try:
            start = add_descriptors(engine.start(launch, scratch), group.directories, network)
            sandbox = spawn(start, streams)
            if network is not None:
                _connect(network, sandbox)
            code = engine.finish(wait_for_sandbox(sandbox, watch))
            if explain is not None:
                explain(code, memory, started)
            return code
        finally:
            engine.close()
            memory.close()
            group.close()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)


def add_descriptors(start: Start, groups: Sequence[str], network: Network | None) -> Start:
    """Return the start with the directories of the control groups and the network of its container."""
    members = open_members(groups)
    options = [word for descriptor in members for word in ("--cgroup", str(descriptor))]
    descriptors = [*start.descriptors, *members]
    if network is not None:
        options += ["--network-fd", str(network.descriptor)]
        descriptors.append(network.descriptor)
    return Start((*start.options, *options), start.program, descriptors, start.retained)


def block_signals() -> set[int]:
    """Block the signals that `wait_and_forward` handles, so that none ends this process; return the mask."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED_SIGNALS | {signal.SIGCHLD})


def _connect(network: Network, sandbox: Sandbox) -> None:
    """Connect the network of a started sandbox; if that fails, end it, and raise its reason or ours."""
    try:
        network.connect()
    except Exception:
        try:
            os.kill(sandbox.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        wait_for_sandbox(sandbox)
        raise


def wait_for_sandbox(sandbox: Sandbox, watch: Watch | None = None) -> int:
    """Wait for a sandbox and return its exit code; raises SandboxError for the reason why it failed.

    ``watch`` is as in `execute_launch`.
    """
    try:
        if watch is None:
            code = sandbox.wait()
        else:
            with watch(sandbox.pid):
                code = sandbox.wait()
        text = read_reason(sandbox.reasons)
    finally:
        os.close(sandbox.reasons)
    if text:
        raise_reason(text, code)
    return code


def read_reason(reasons: int) -> str:
    """Return the reason that a sandbox gave for not starting its program, "" if it started it."""
    os.set_blocking(reasons, False)
    try:
        return os.read(reasons, MAX_REASON).decode(errors="replace").strip()
    except BlockingIOError:
        return ""


def spawn_sandbox(start: Start, streams: Streams = (0, 1, 2), *, tracer: Sequence[str] = ()) -> Sandbox:
    """Start the sandbox in a new interpreter.

    Options are passed in a memory file, because every user can read a command line. ``tracer`` is the
    absolute path of a program, with its arguments, that executes the sandbox in its own process and
    watches it.
    """
    reason_reader, reason_writer = os.pipe()
    inherited = [reason_writer, *start.descriptors]
    try:
        options = (*start.options, "--status-fd", str(reason_writer))
        inherited.append(create_memory_file(encode_arguments(options)))
        for descriptor in inherited:
            os.set_inheritable(descriptor, True)
        sandbox = (sys.executable, "-I", "-S", _SANDBOX, "--args", str(inherited[-1]), "--")
        command = (*tracer, *sandbox, *start.program)
        pid = os.posix_spawn(
            command[0],
            command,
            program_environment(),
            file_actions=[(os.POSIX_SPAWN_DUP2, stream, number) for number, stream in enumerate(streams)],
            setsigmask=(),
            setsigdef=(signal.SIGPIPE,),
        )
    except BaseException:
        os.close(reason_reader)
        raise
    finally:
        for descriptor in inherited:
            os.close(descriptor)
    return Sandbox(reason_reader, pid)


def program_environment() -> dict[str, str]:
    """Return the environment of a sandbox: a program could read all of it through /proc."""
    return {"PATH": os.environ.get("PATH", DEFAULT_PATH)}
