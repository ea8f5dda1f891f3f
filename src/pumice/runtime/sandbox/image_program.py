"""Running a program of the image: a process outside, a supervisor, and the program."""

from __future__ import annotations

import os
import sys

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.capabilities import CAPABILITIES
from pumice.runtime.sandbox.descriptors import close_if_open
from pumice.runtime.sandbox.devices import reopen_devices
from pumice.runtime.sandbox.event_handlers import run_post_stop, run_pre_start
from pumice.runtime.sandbox.execution import execute_as_user
from pumice.runtime.sandbox.lifeline import Lifeline
from pumice.runtime.sandbox.limits import enter_cgroups, prepare_limits
from pumice.runtime.sandbox.network import announce_namespace, namespace_flag, wait_for_network
from pumice.runtime.sandbox.privileges import drop_privileges
from pumice.runtime.sandbox.root_mounts import change_root
from pumice.runtime.sandbox.shifted_root import become_root, clone_flat_sources, prepare_sources
from pumice.runtime.sandbox.streams import prepare_streams
from pumice.runtime.sandbox.supervision import find_child, kill_descendants, wait_and_forward
from pumice.runtime.sandbox.syscalls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWPID,
    CLONE_NEWUTS,
)
from pumice.runtime.sandbox.user_namespace import enter_user_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.sandbox.options import Options
    from pumice.runtime.sandbox.streams import Streams


def run_image_program(options: Options) -> int:
    """Run the program in new namespaces and return its exit code."""
    options.shifted = os.geteuid() == 0 and bool(options.maps["uid"]) and not options.in_place
    streams = prepare_streams(options)
    if options.listen:
        from pumice.runtime.sandbox import activation  # noqa: F401 - while its file can be read
    if options.explain and options.seccomp_fd >= 0:
        from pumice.runtime.sandbox import refused_calls

        options.refused_calls = refused_calls.start_reporter(options.seccomp_fd)
    if options.fly:
        return _run_beside_host(options, streams)
    prepare_limits(options)
    sources = prepare_sources(options) if options.shifted else clone_flat_sources(options)
    flags = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | namespace_flag(options)
    if options.pod >= 0:
        from pumice.runtime.sandbox.pod import join_pod

        join_pod(options, sources)
    else:
        enter_user_namespace(options, flags, sources)
        announce_namespace(options)
    lifeline = Lifeline()
    child = os.fork()
    if child == 0:
        os._exit(_supervise(options, streams, lifeline))
    close_if_open(options.exec_fd)
    return streams.wait_for(child)


def _run_beside_host(options: Options, streams: Streams) -> int:
    """Run the program with a root of its own, and all else shared with the host."""
    prepare_limits(options)
    if os.geteuid() != 0:
        enter_user_namespace(options, 0)
    lifeline = Lifeline()
    child = os.fork()
    if child == 0:
        lifeline.end_with_parent()
        os.umask(0o022)
        _confine(options, streams)
        if options.pre_start or options.post_stop:
            os._exit(_run_between_handlers(options, streams))
        execute_as_user(options, streams)
    close_if_open(options.exec_fd)
    return streams.wait_for(child)


def _run_between_handlers(options: Options, streams: Streams) -> int:
    """Run the program as a child of this process, with what comes before and after it."""
    run_pre_start(options, streams)
    child = os.fork()
    if child == 0:
        execute_as_user(options, streams)
    close_if_open(options.exec_fd)
    code = wait_and_forward(child)
    run_post_stop(options, streams)
    return code


def _supervise(options: Options, streams: Streams, lifeline: Lifeline) -> int:
    """Run the supervising process, with which all others end; start the program."""
    if options.shifted:
        become_root()
    lifeline.end_with_parent()
    syscalls.set_hostname(options.hostname)
    os.umask(0o022)
    if options.last_pid:
        _set_last_pid(options.last_pid)
    if options.init and options.pod >= 0 and not options.pod_pids:
        from pumice.runtime.sandbox.pod import run_as_first_process

        return run_as_first_process(options, lambda: _run_with_init(options, streams))
    if options.init or options.pod_pids:
        return _run_with_init(options, streams)
    # A nested namespace, because in this one the program could clear its PR_SET_PDEATHSIG and survive.
    syscalls.unshare(CLONE_NEWPID)
    child = os.fork()
    if child == 0:
        _confine(options, streams)
        execute_as_user(options, streams)
    close_if_open(options.exec_fd)
    syscalls.set_capabilities([CAPABILITIES["KILL"]])
    return wait_and_forward(child, first_process=lambda: find_child("/proc/self"))


def _run_with_init(options: Options, streams: Streams) -> int:
    """Run the program as a child of this process, which forwards signals and reaps orphans."""
    if options.before:
        from pumice.runtime.sandbox.setup_commands import run_setup_command
    syscalls.become_subreaper()
    if options.record_owners:
        from pumice.runtime.sandbox import owner_recorder  # only builds have it

        log = os.open(options.record_owners, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    _confine(options, streams)
    syscalls.hide_process()
    if options.record_owners:
        return owner_recorder.run_recorded(log, lambda: execute_as_user(options, streams))
    for command in options.before:
        run_setup_command(command, options)
    run_pre_start(options, streams)
    child = os.fork()
    if child == 0:
        execute_as_user(options, streams)
    close_if_open(options.exec_fd)
    if not options.post_stop:  # it needs the rights to become the program's user
        syscalls.set_capabilities([CAPABILITIES["KILL"]])
    code = wait_and_forward(child)
    if options.pod_pids:
        kill_descendants()
    run_post_stop(options, streams)
    return code


def _set_last_pid(number: int) -> None:
    """Number the next process of this namespace from ``number + 1``, if the kernel allows it."""
    try:
        with open("/proc/sys/kernel/ns_last_pid", "w") as file:
            file.write(str(number))
    except OSError:  # /proc/sys is read-only in many containers
        pass


def _confine(options: Options, streams: Streams) -> None:
    """Confine this process to the image: change its root, and drop its privileges."""
    enter_cgroups(options)
    if not options.fly:
        syscalls.unshare(CLONE_NEWCGROUP)  # so that the container sees nothing above its own
    change_root(options, streams.console)
    # From here on, an import would read the files of the image.
    sys.path[:] = []
    sys.meta_path[:] = []
    reopen_devices(streams.descriptors)
    drop_privileges(options)
    wait_for_network(options)
    if options.listen:
        from pumice.runtime.sandbox.activation import open_sockets

        open_sockets(options)
