"""Running a program of the host, such as another sandbox, on a writable root in memory."""

from __future__ import annotations

import os

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.descriptors import close_if_open, inherit_only
from pumice.runtime.sandbox.devices import freeze_devices, reopen_devices
from pumice.runtime.sandbox.guest_machine import copy_input, wait_for_machine
from pumice.runtime.sandbox.inner_namespace import become_user, map_child
from pumice.runtime.sandbox.lifeline import Lifeline
from pumice.runtime.sandbox.limits import enter_cgroups, prepare_limits, set_limits
from pumice.runtime.sandbox.network import announce_namespace, namespace_flag, wait_for_network
from pumice.runtime.sandbox.root_mounts import mount_volumes
from pumice.runtime.sandbox.shifted_root import become_root, prepare_sources
from pumice.runtime.sandbox.signals import release_signals
from pumice.runtime.sandbox.streams import prepare_streams
from pumice.runtime.sandbox.supervision import find_child, wait_and_forward
from pumice.runtime.sandbox.syscalls import CLONE_NEWPID, MS_NODEV, MS_NOEXEC, MS_NOSUID
from pumice.runtime.sandbox.user_namespace import enter_namespaces, enter_user_namespace
from pumice.runtime.sandbox.writable_root import mount_writable_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pumice.runtime.sandbox.options import Options
    from pumice.runtime.sandbox.streams import Streams


def run_host_program(options: Options) -> int:
    """Set up the writable root, run the program on it, and return its exit code."""
    is_root = os.geteuid() == 0
    options.shifted = is_root and bool(options.maps["uid"])
    if options.guest_outputs:
        copy_input()
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
        if options.shifted:
            become_root()
        lifeline.end_with_parent()
        root = mount_writable_root(options)
        if options.mount_volumes:
            mount_volumes(root, options)
        if is_root and not options.shifted:
            freeze_devices()
            reopen_devices(streams.descriptors)
        if options.hide:
            syscalls.mount("tmpfs", options.hide, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        syscalls.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        wait_for_network(options)
        program = os.fork()
        if program == 0:
            _execute(options, streams)
        _close_inherited(options)
        map_child(options)
        os._exit(_wait_for_program(program, options))
    _close_inherited(options)
    return streams.wait_for(child)


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


def _wait_for_program(program: int, options: Options) -> int:
    if options.guest_outputs:
        return wait_for_machine(program, options)
    if not options.signal_child:
        return wait_and_forward(program)

    def inner_program() -> str:
        child = find_child(f"/proc/{program}")
        return find_child(child) if options.init else child

    def target() -> int:
        return int(inner_program().removeprefix("/proc/") or program)

    return wait_and_forward(program, target, None if options.init else inner_program)
