"""Running a program of the host, such as another sandbox, on a writable root in memory."""

from __future__ import annotations

import os

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.descriptors import close_if_open, inherit_only
from pumice.runtime.sandbox.devices import freeze_devices, reopen_devices
from pumice.runtime.sandbox.errors import SETUP_FAILED, exit_with_reason, explain_failure
from pumice.runtime.sandbox.inner_namespace import become_user, map_child
from pumice.runtime.sandbox.lifeline import Lifeline
from pumice.runtime.sandbox.limits import enter_cgroups, prepare_limits, set_limits
from pumice.runtime.sandbox.network import announce_namespace, namespace_flag, wait_for_network
from pumice.runtime.sandbox.shifted_root import become_root, prepare_sources
from pumice.runtime.sandbox.signals import release_signals
from pumice.runtime.sandbox.streams import prepare_streams
from pumice.runtime.sandbox.supervision import find_child, wait_and_forward
from pumice.runtime.sandbox.syscalls import CLONE_NEWPID, MS_NODEV, MS_NOEXEC, MS_NOSUID
from pumice.runtime.sandbox.user_namespace import enter_namespaces, enter_user_namespace
from pumice.runtime.sandbox.writable_root import mount_writable_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from pumice.runtime.sandbox.options import Options
    from pumice.runtime.sandbox.streams import Streams


def run_host_program(options: Options) -> int:
    """Set up the writable root, run the program on it, and return its exit code."""
    program = start_host_program(options)
    _close_inherited(options)
    return program.wait()


class HostProgram:
    """A program of the host that was started: its process, or one of ours that is its parent."""

    def __init__(self, process: int, streams: Streams, options: Options) -> None:
        self.process = process
        self._streams = streams
        self._options = options

    def wait(self) -> int:
        """Wait for the end, forward signals, and return the exit code."""
        if _needs_parent(self._options):
            return self._streams.wait_for(self.process)
        receiver = _Receiver(self.process, self._options)
        return self._streams.wait_for(self.process, receiver.find, receiver.find_first_process)


def start_host_program(options: Options, environment: Mapping[str, str] | None = None) -> HostProgram:
    """Start a program of the host as process 1 of a new namespace, or as a child of that.

    It gets ``environment``, or that of this process. Raises `errors.FAILURES`; errors of the new process are
    written to ``options.status_fd``.
    """
    options.shifted = os.geteuid() == 0 and bool(options.maps["uid"])
    if options.guest_outputs:
        from pumice.runtime.sandbox import guest_machine  # imported while its file can be read

        guest_machine.copy_input()
    streams = prepare_streams(options)
    prepare_limits(options)
    flags = CLONE_NEWPID | namespace_flag(options)
    if options.shifted:
        enter_user_namespace(options, flags, prepare_sources(options))
    else:
        enter_namespaces(options, flags)
    announce_namespace(options)
    lifeline = Lifeline()
    child = os.fork()
    if child == 0:
        try:
            if environment is not None:
                os.environ.clear()
                os.environ.update(environment)
            _run_first_process(options, streams, lifeline)
        except Exception as error:  # noqa: BLE001 - nothing may return into the code of the caller
            exit_with_reason(options.status_fd, explain_failure(error))
        finally:
            os._exit(SETUP_FAILED)
    return HostProgram(child, streams, options)


def _run_first_process(options: Options, streams: Streams, lifeline: Lifeline) -> NoReturn:
    _prepare_root(options, streams, lifeline)
    if _needs_parent(options):
        os._exit(_run_inside(options, streams))
    _execute(options, streams)


def _prepare_root(options: Options, streams: Streams, lifeline: Lifeline) -> None:
    """Mount the root and what belongs to it; this is process 1 of the new namespace."""
    is_root = os.geteuid() == 0
    if options.shifted:
        become_root()
    lifeline.end_with_parent()
    mount_writable_root(options)
    if is_root and not options.shifted:
        freeze_devices()
        reopen_devices(streams.descriptors)
    if options.hide:
        syscalls.mount("tmpfs", options.hide, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    syscalls.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    wait_for_network(options)


def _needs_parent(options: Options) -> bool:
    """Return whether the program needs a process of ours as its parent, so that it cannot be process 1."""
    return bool(options.guest_outputs) or options.map_info >= 0


def _run_inside(options: Options, streams: Streams) -> int:
    """Run the program as a child of this process, and return its exit code."""
    program = os.fork()
    if program == 0:
        _execute(options, streams)
    _close_inherited(options)
    map_child(options)
    if options.guest_outputs:
        from pumice.runtime.sandbox.guest_machine import wait_for_machine

        return wait_for_machine(program, options)
    receiver = _Receiver(program, options)
    return wait_and_forward(program, receiver.find, receiver.find_first_process)


def _close_inherited(options: Options) -> None:
    """Close what only the program keeps, so that its end can be seen."""
    close_if_open(options.exec_fd)
    for descriptor in options.keep:
        os.close(descriptor)


def _execute(options: Options, streams: Streams) -> NoReturn:
    enter_cgroups(options)
    set_limits(options)
    inherit_only(options.keep)
    streams.install()
    become_user(options)
    if options.guest_outputs:
        os.setsid()  # keys that are typed go to the program in the machine
        # qemu writes nothing there, but it would make the stream of the caller non-blocking.
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
    release_signals()
    os.execvp(options.argv[0], options.argv)


class _Receiver:
    """The process that gets the signals for a program of the host.

    With ``options.signal_child`` it is the program that the other sandbox runs, once it has started it.
    """

    def __init__(self, program: int, options: Options) -> None:
        self._program = f"/proc/{program}"
        self._options = options

    def find(self) -> int:
        """Return the process."""
        return int((self._find_inner() or self._program).removeprefix("/proc/"))

    def find_first_process(self) -> str:
        """Return the ``/proc`` directory of the process if it is the first of its namespace, else ``""``."""
        inner = self._find_inner()
        return "" if inner and self._options.init else inner or self._program

    def _find_inner(self) -> str:
        if not self._options.signal_child:
            return ""
        child = find_child(self._program)
        return find_child(child) if self._options.init else child
