"""Start the sandbox without an interpreter of its own.

This process must have one thread, and all modules of the sandbox are imported before the root is changed:
afterwards, an import would read the files of the image.
"""

from __future__ import annotations

import os

from pumice.errors import SandboxError
from pumice.runtime.launch.execution import Sandbox, program_environment
from pumice.runtime.sandbox import signals, syscalls
from pumice.runtime.sandbox.errors import (
    FAILURES,
    SETUP_FAILED,
    SetupError,
    exit_with_reason,
    explain_failure,
)
from pumice.runtime.sandbox.main import main
from pumice.runtime.sandbox.options import parse_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.runtime.launch.execution import Streams
    from pumice.runtime.launch.model import Start
    from pumice.runtime.sandbox.host_program import HostProgram
    from pumice.runtime.sandbox.options import Options

_OWN_NAMESPACE = "/proc/self/ns/pid"


def start_quickly(start: Start, streams: Streams = (0, 1, 2)) -> Sandbox:
    """Start the sandbox as `fork_sandbox` does, or without a process of its own if none is needed.

    Raises SandboxError if it fails without one.
    """
    options = parse_options((*start.options, "--", *start.program))
    if streams != (0, 1, 2) or not _can_start_here(options):
        return fork_sandbox(start, streams)
    reason_reader, options.status_fd = os.pipe()
    try:
        return _start_here(options, start.descriptors, reason_reader)
    except FAILURES as error:
        os.close(reason_reader)
        raise _translate(error) from None
    finally:
        for descriptor in (options.status_fd, *start.descriptors):
            os.close(descriptor)


def _translate(error: Exception) -> SandboxError:
    reason = explain_failure(error)
    return SandboxError(reason.message, hint=reason.hint or None)


def _can_start_here(options: Options) -> bool:
    """Return whether a program of the host can be a child of this process, which is not changed for it.

    A process of its own is needed to enter a user namespace, to raise limits, or to have a terminal.
    """
    is_root = os.geteuid() == 0 and not options.maps["uid"]
    has_limits = options.oom_score or options.rlimits
    is_attached = options.network_fd >= 0 or options.network != "host" or options.pod >= 0
    is_watched = options.guest_ports or options.pre_start_file >= 0 or options.post_stop_file >= 0
    has_terminal = os.isatty(0) or os.isatty(1)
    needs_process = has_limits or is_attached or is_watched or has_terminal
    return bool(options.only_root and is_root and not needs_process)


def _start_here(options: Options, descriptors: Sequence[int], reasons: int) -> Sandbox:
    from pumice.runtime.sandbox.host_program import start_host_program

    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    signals.block_signals()
    namespace = os.open(_OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        program = start_host_program(options, program_environment())
    finally:
        # Further children of this process would be in the namespace of the program.
        syscalls.join_namespaces(namespace, syscalls.CLONE_NEWPID)
        os.close(namespace)
    return Sandbox(reasons, program.process, lambda: _wait(program))


def _wait(program: HostProgram) -> int:
    """Wait for a program, and return its exit code; raises SandboxError."""
    try:
        return program.wait()
    except FAILURES as error:
        os.kill(program.process, signals.signal.SIGKILL)
        raise _translate(error) from None


def fork_sandbox(start: Start, streams: Streams = (0, 1, 2)) -> Sandbox:
    """Start the sandbox in a copy of this process, which is faster than starting an interpreter."""
    reason_reader, reason_writer = os.pipe()
    arguments = (*start.options, "--status-fd", str(reason_writer), "--", *start.program)
    for descriptor in start.descriptors:
        os.set_inheritable(descriptor, True)
    pid = os.fork()
    if pid == 0:
        _run_and_exit(arguments, reason_writer, streams)
    for descriptor in (reason_writer, *start.descriptors):
        os.close(descriptor)
    return Sandbox(reason_reader, pid)


def _run_and_exit(arguments: Sequence[str], reasons: int, streams: Streams) -> None:
    code = SETUP_FAILED
    try:
        for number, stream in enumerate(streams):
            if stream != number:
                os.dup2(stream, number)
        environment = program_environment()
        os.environ.clear()
        os.environ.update(environment)
        code = main(arguments)
    except BaseException as error:  # noqa: BLE001 - nothing may return into the code of the caller
        exit_with_reason(reasons, SetupError(f"cannot set up the sandbox: {error}"))
    finally:
        os._exit(code)
