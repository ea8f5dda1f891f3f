"""Running a program of the host, such as another sandbox, on a writable root in memory."""

from __future__ import annotations

import os

from pumice.runtime.sandbox import launcher, syscalls
from pumice.runtime.sandbox.descriptors import (
    FIRST_SOCKET,
    close_if_open,
    close_inherited,
    inherit_only,
)
from pumice.runtime.sandbox.devices import freeze_devices, reopen_devices
from pumice.runtime.sandbox.errors import SETUP_FAILED, exit_with_reason, explain_failure
from pumice.runtime.sandbox.inner_namespace import become_user, map_child
from pumice.runtime.sandbox.lifeline import Lifeline
from pumice.runtime.sandbox.limits import enter_cgroups, prepare_limits, set_limits
from pumice.runtime.sandbox.network import announce_namespace, namespace_flag, wait_for_network
from pumice.runtime.sandbox.options import parse_options
from pumice.runtime.sandbox.root_mounts import mount_volumes
from pumice.runtime.sandbox.shifted_root import become_root, prepare_sources
from pumice.runtime.sandbox.signals import release_signals
from pumice.runtime.sandbox.streams import prepare_streams
from pumice.runtime.sandbox.supervision import find_child, kill_descendants, wait_and_forward
from pumice.runtime.sandbox.syscalls import CLONE_NEWPID, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY
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
    close_inherited(options)
    return program.wait()


class HostProgram:
    """A program of the host that was started: its process, or one of ours that is its parent."""

    def __init__(self, process: int, streams: Streams, options: Options) -> None:
        self.process = process
        self._streams = streams
        self._options = options
        # Whoever started this closes what it has opened for the program.
        self._maps = tuple(map(os.dup, (options.map_info, options.map_ready))) if _needs_maps(options) else ()

    def wait(self) -> int:
        """Wait for the end, forward signals, and return the exit code; raises SetupError."""
        if _needs_parent(self._options):
            return self._streams.wait_for(self.process)
        if self._maps:
            self._options.map_info, self._options.map_ready = self._maps
            map_child(self._options, self.process)
        receiver = _Receiver(self.process, self._options)
        return self._streams.wait_for(self.process, receiver.find, receiver.find_first_process)


def start_host_program(options: Options, environment: Mapping[str, str] | None = None) -> HostProgram:
    """Start a program of the host as process 1 of a new namespace, or as a child of that.

    It gets ``environment``, or that of this process. Raises `errors.FAILURES`; errors of the new process are
    written to ``options.status_fd``.
    """
    _prepare_parts(options)
    options.shifted = os.geteuid() == 0 and bool(options.maps["uid"])
    streams = prepare_streams(options)
    prepare_limits(options)
    _enter_namespaces(options)
    lifeline = Lifeline()
    child = os.fork()
    if child == 0:
        try:
            if environment is not None:
                os.environ.clear()
                os.environ.update(environment)
            os._exit(_run_first_process(options, streams, lifeline))
        except Exception as error:  # noqa: BLE001 - nothing may return into the code of the caller
            exit_with_reason(options.status_fd, explain_failure(error))
        finally:
            os._exit(SETUP_FAILED)
    return HostProgram(child, streams, options)


def _run_first_process(options: Options, streams: Streams, lifeline: Lifeline) -> int:
    if options.shifted:
        become_root()
    lifeline.end_with_parent(is_last=not _needs_maps(options))
    os.umask(0o022)  # the engine makes directories in the container, and bwrap's program inherits it
    if options.pod >= 0 and not options.pod_pids:
        from pumice.runtime.sandbox.pod import run_as_first_process

        return run_as_first_process(options, lambda: _run(options, streams, lifeline))
    return _run(options, streams, lifeline)


def _prepare_parts(options: Options) -> None:
    """Read the event handlers, and import what is needed later while this process can read its files."""
    if options.guest_ports or options.guest_share:
        import _socket  # noqa: F401 - see above

        from pumice.runtime.sandbox import guest_files, guest_machine  # noqa: F401 - see above
    if options.listen:
        from pumice.runtime.sandbox import activation  # noqa: F401 - see above
    if options.pod >= 0:
        from pumice.runtime.sandbox import pod  # noqa: F401 - see above
    files = {"pre-start": options.pre_start_file, "post-stop": options.post_stop_file}
    if any(descriptor >= 0 for descriptor in files.values()):
        from pumice.runtime.sandbox import event_handlers  # noqa: F401 - see above

        for name, descriptor in files.items():
            if descriptor >= 0:
                options.handlers[name] = parse_options(("--args", str(descriptor)))


def _enter_namespaces(options: Options) -> None:
    """Enter new namespaces, or those of a pod."""
    sources = prepare_sources(options) if options.shifted else ()
    if options.pod >= 0:
        from pumice.runtime.sandbox.pod import join_pod

        join_pod(options, sources)
        return
    flags = CLONE_NEWPID | namespace_flag(options)
    if options.shifted:
        enter_user_namespace(options, flags, sources)
    else:
        enter_namespaces(options, flags)
    announce_namespace(options)


def _run(options: Options, streams: Streams, lifeline: Lifeline) -> int:
    """Prepare the root, and become the program, or run it and return its exit code."""
    _prepare_root(options, streams)
    if not _needs_parent(options):
        _execute(options, streams, lifeline)
    if not options.handlers:
        return _run_inside(options, streams)
    from pumice.runtime.sandbox.event_handlers import run_post_stop, run_pre_start

    run_pre_start(options, streams, lambda *_: _run_handler("pre-start", options, streams))
    code = _run_inside(options, streams)
    run_post_stop(options, streams, lambda *_: _run_handler("post-stop", options, streams))
    return code


def _run_handler(name: str, options: Options, streams: Streams) -> int:
    """Run an event handler, for which the engine is started as for the program; return its exit code."""
    from pumice.runtime.sandbox.event_handlers import without_input

    handler = options.handlers[name]
    handler.cgroups = list(options.cgroups)
    return _run_inside(handler, without_input(streams))


def _prepare_root(options: Options, streams: Streams) -> None:
    """Mount the root and what belongs to it, and listen on the sockets of the program."""
    is_root = os.geteuid() == 0
    root = mount_writable_root(options)
    if options.mount_volumes:
        mount_volumes(root, options)
    if options.guest_share:
        from pumice.runtime.sandbox import guest_files

        guest_files.prepare_root(root, options)
    if is_root and not options.shifted:
        freeze_devices()
        reopen_devices(streams.descriptors)
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    for path in options.hidden:
        syscalls.mount("tmpfs", path, "tmpfs", MS_RDONLY | flags, "size=0k")
    for path in options.emptied:
        syscalls.mount("tmpfs", path, "tmpfs", flags)
    syscalls.mount("proc", "/proc", "proc", flags)
    wait_for_network(options)
    if options.listen:
        from pumice.runtime.sandbox.activation import open_sockets

        open_sockets(options)


def _needs_parent(options: Options) -> bool:
    """Return whether the program needs a process of ours as its parent, so that it cannot be process 1."""
    is_watched = options.guest_ports or options.handlers
    return bool(is_watched) or options.pod >= 0


def _needs_maps(options: Options) -> bool:
    """Return whether the parent of the program, which is outside of its namespace, must map its ids."""
    return options.map_info >= 0 and not _needs_parent(options)


def _run_inside(options: Options, streams: Streams) -> int:
    """Run the program as a child of this process, and return its exit code."""
    if options.pod_pids:
        syscalls.become_subreaper()
    if options.guest_session >= 0:
        return _run_app(options)
    server = _start_file_server(options)
    program = os.fork()
    if program == 0:
        _execute(options, streams)
    if not options.guest_ports:  # a machine has not executed its program yet
        close_if_open(options.exec_fd)
    for descriptor in options.keep:  # the event handlers still need theirs
        os.close(descriptor)
    map_child(options, program)
    if options.pod_pids and not options.handlers:  # which are still to be started
        from pumice.runtime.sandbox.first_process import KILL, drop_other_capabilities

        drop_other_capabilities(KILL)
    if options.guest_ports:
        from pumice.runtime.sandbox.guest_machine import wait_for_machine

        return wait_for_machine(program, options, server)
    receiver = _Receiver(program, options)
    is_first_process = options.signal_child and not options.pod_pids
    code = wait_and_forward(program, receiver.find, receiver.find_first_process if is_first_process else None)
    if options.pod_pids:
        kill_descendants()
    return code


def _run_app(options: Options) -> int:
    """Share the files of an app with the machine of its pod, and run its program there."""
    from pumice.runtime.sandbox.guest_machine import run_app

    enter_cgroups(options)
    return run_app(options, _start_file_server(options))


def _start_file_server(options: Options) -> int:
    """Start what shares files with a virtual machine; return its process id, 0 if there is none."""
    if not options.guest_share:
        return 0
    from pumice.runtime.sandbox.guest_files import start_server

    return start_server(options)


def _execute(options: Options, streams: Streams, lifeline: Lifeline | None = None) -> NoReturn:
    """Execute the program; with a ``lifeline``, it ends with the parent of this process."""
    enter_cgroups(options)
    streams.install()
    sockets = range(0)
    if options.listen:
        from pumice.runtime.sandbox.activation import place_sockets

        if lifeline and _needs_maps(options):
            lifeline.leave_room_for_sockets(len(options.listen))
        sockets = range(FIRST_SOCKET, place_sockets(options))
    # The container sees a process of bwrap, and no user of it may write to the executable (CVE-2019-5736).
    needs_copy = options.signal_child and launcher.is_exposed(options.argv[0])
    copies = [launcher.copy_executable(options.argv[0])] if needs_copy else []
    inherit_only((*options.keep, *sockets, *copies))
    become_user(options)
    if lifeline and _needs_maps(options):
        lifeline.end_with_parent()
    if options.guest_ports:
        os.setsid()  # keys that are typed go to the program in the machine
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
    set_limits(options)  # last, because nothing here may need more than the program gets
    release_signals()
    for descriptor in copies:
        os.set_inheritable(descriptor, False)
        os.execve(descriptor, options.argv, os.environ)
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
