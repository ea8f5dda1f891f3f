"""The virtual machine of a pod of several apps, which runs in the namespaces of the pod."""

from __future__ import annotations

import os
import select

from pumice.runtime.sandbox import guest_bridge, syscalls
from pumice.runtime.sandbox.descriptors import close_if_open, inherit_only
from pumice.runtime.sandbox.devices import freeze_devices
from pumice.runtime.sandbox.errors import SETUP_FAILED, SetupError, exit_with_reason, explain_failure
from pumice.runtime.sandbox.limits import enter_cgroups
from pumice.runtime.sandbox.shifted_root import become_root
from pumice.runtime.sandbox.signals import release_signals, signal
from pumice.runtime.sandbox.syscalls import CLONE_NEWNS, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_REC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pumice.runtime.sandbox.lifeline import Lifeline
    from pumice.runtime.sandbox.options import Options

_MAX_ERRORS = 1000
_END_MILLISECONDS = 5000
"""What qemu may take to end after it has closed a session."""


def serve_machine(options: Options, lifeline: Lifeline) -> None:
    """Start qemu in the process namespace of the pod, and serve its sessions until it ends.

    Why it ended is written to ``options.status_fd``.
    """
    errors = os.memfd_create("errors", os.MFD_CLOEXEC)
    machine = os.fork()
    if machine == 0:
        try:
            _execute(options, errors, lifeline)
        except Exception as error:  # noqa: BLE001 - nothing may return into the code of the caller
            exit_with_reason(options.status_fd, explain_failure(error))
        finally:
            os._exit(SETUP_FAILED)
    for descriptor in (*options.keep, *options.cgroups):
        os.close(descriptor)
    clients = guest_bridge.serve(options.guest_ports, options.guest_clients, options.guest_listener)
    close_if_open(options.guest_listener)
    code = _end(machine)
    lines = os.pread(errors, _MAX_ERRORS, 0).decode(errors="replace").split("\n")
    text = next((line.strip() for line in lines if line.strip()), f"exit code {code} of qemu")
    os.write(options.status_fd, f"the virtual machine ended before its apps ({text})".encode())
    for client in clients:  # the apps end now
        os.close(client)


def _end(machine: int) -> int:
    """Return the exit code of qemu, which is ended if it does not end."""
    process = os.pidfd_open(machine)
    poll = select.poll()
    poll.register(process, select.POLLIN)
    if not poll.poll(_END_MILLISECONDS):
        signal.pidfd_send_signal(process, signal.SIGKILL)
    os.close(process)
    _, status = os.waitpid(machine, 0)
    return os.waitstatus_to_exitcode(status)


def _execute(options: Options, errors: int, lifeline: Lifeline) -> NoReturn:
    """Become qemu, which sees the files of the host, but none of its processes."""
    if options.shifted:
        become_root()
    lifeline.end_with_parent()
    syscalls.unshare(CLONE_NEWNS)
    syscalls.mount("none", "/", None, MS_REC | MS_PRIVATE)
    if os.geteuid() == 0 and not options.shifted:
        freeze_devices()
    syscalls.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    enter_cgroups(options)
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for number, descriptor in enumerate((null, null, errors)):
        os.dup2(descriptor, number)
    inherit_only(options.keep)
    release_signals()
    try:
        os.execv(options.argv[0], options.argv)
    except OSError as error:
        raise SetupError(f"cannot execute {options.argv[0]} ({error.strerror})") from None
