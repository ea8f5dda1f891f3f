"""Waiting for a virtual machine: its program has the streams of this process, and others can be run in it."""

from __future__ import annotations

import os

from pumice.runtime.sandbox import guest_bridge, syscalls
from pumice.runtime.sandbox.descriptors import close_if_open
from pumice.runtime.sandbox.errors import SETUP_FAILED, SetupError, exit_with_reason
from pumice.runtime.sandbox.guest_session import MachineGoneError, Session, SessionError
from pumice.runtime.sandbox.signals import signal

READY = b"r"
"""What an app says when its files are shared."""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.sandbox.options import Options


def wait_for_machine(process: int, options: Options, server: int = 0) -> int:
    """Wait until the program in a virtual machine has ended, and return its exit code.

    ``server`` is the process that shares files with the machine, if there is one. It would complain if the
    machine ended before it, and the machine about its end.
    """
    session = Session(
        _start_bridge(options),
        options.guest_name,
        terminal=tuple(map(int, options.guest_terminal)),
        is_first=True,
        on_start=lambda: _report_start(options),
        server=server,
    )
    try:
        code = session.run()
    except MachineGoneError:
        _report_end(process, options)
    except SessionError as error:
        exit_with_reason(options.status_fd, error, error.code)
    if server:
        os.kill(process, signal.SIGSTOP)
        os.kill(server, signal.SIGKILL)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return code


def run_app(options: Options, server: int) -> int:
    """Wait until the program of an app may start in the machine of its pod, run it, return its exit code.

    ``server`` is the process that shares its files. That it does is said by a byte in ``options.exec_fd``.
    The program is not started if the pipe ``options.guest_go`` closes.
    """
    session = Session(
        options.guest_session,
        options.guest_name,
        terminal=tuple(map(int, options.guest_terminal)),
        is_first=True,
        on_start=lambda: _report_start(options),
        server=server,
    )
    os.write(options.exec_fd, READY)
    if not os.read(options.guest_go, 1):
        return SETUP_FAILED
    try:
        return session.run(app=options.guest_app)
    except SessionError as error:
        exit_with_reason(options.status_fd, error, error.code)


def _start_bridge(options: Options) -> int:
    """Start the process that serves the sessions; return the connection of the first one."""
    from _socket import AF_UNIX, SOCK_SEQPACKET, socketpair

    own, other = (end.detach() for end in socketpair(AF_UNIX, SOCK_SEQPACKET))
    if os.fork() == 0:
        try:
            syscalls.end_with_parent()
            os.close(own)
            close_if_open(options.exec_fd)
            guest_bridge.serve(options.guest_ports, [other], options.guest_listener)
        finally:
            os._exit(0)
    for descriptor in (other, *options.guest_ports):
        os.close(descriptor)
    close_if_open(options.guest_listener)
    return own


def _report_start(options: Options) -> None:
    close_if_open(options.exec_fd)
    options.exec_fd = -1


def _report_end(process: int, options: Options) -> None:
    """End this process with the reason why the machine has ended, or sent what it should not."""
    os.kill(process, signal.SIGTERM)
    _, status = os.waitpid(process, 0)
    code = os.waitstatus_to_exitcode(status)
    reason = SetupError(
        f"the virtual machine ended before its program (exit code {code} of qemu)",
        "see its message above; more --memory may help",
    )
    exit_with_reason(options.status_fd, reason, SETUP_FAILED)
