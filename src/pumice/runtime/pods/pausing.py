"""Pausing pods and apps: the kernel freezes their processes, which do not notice it.

Stopping them with signals is no substitute: programs notice that, and what a program itself has stopped would
go on with the rest.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import PodError
from pumice.runtime.isolation import control_groups
from pumice.runtime.pods import freezer, pod_store, processes
from pumice.runtime.pods.supervisor import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pumice.runtime.pods.pod_store import PodState

_HINT = (
    "run the pod as root, or in a delegated control group of version 2, such as that of"
    " 'systemd-run --user --scope --property=Delegate=yes'"
)


class EndedPodError(PodError):
    """The pod or app has ended since it was listed, and may have been removed, as with ``--rm``."""


def require_pausable(state: PodState) -> None:
    """Raise PodError unless a pod or an app runs, and is not paused."""
    if state.state == pod_store.PAUSED:
        raise PodError(
            f"the pod {state.pod.name} is already paused",
            hint=f"resume it with 'pumice unpause {state.pod.name}'",
        )
    processes.require_running(state)


def require_paused(state: PodState) -> None:
    """Raise PodError unless a pod, an app, or one of the apps of a pod is paused."""
    if not any(app.state == pod_store.PAUSED for app in pod_store.read_apps(state)):
        raise PodError(f"the pod {state.pod.name} is not paused (it is {state.state})")


def pause_pod(state: PodState) -> None:
    """Freeze the processes of a running pod or app; raises PodError, EndedPodError if it has ended."""
    _require_all_apps(state)
    for app in pod_store.read_apps(state):
        if app.state == pod_store.RUNNING:
            with _lock_app(app):
                _freeze(app, _list_processes)
    if processes.has_machine(state.pod):
        _freeze(state, _list_machine)


def _require_all_apps(state: PodState) -> None:
    """Raise PodError for an app in a virtual machine, which can only be frozen with all others."""
    if state.pod.stage1 == "kvm" and state.pod.app_of:
        raise PodError(
            f"cannot pause or resume only the app {state.pod.name}: the apps run in one virtual machine",
            hint="omit --app",
        )


def unpause_pod(state: PodState) -> None:
    """Let all processes of a pod or an app go on; does nothing if none is frozen. Raises PodError."""
    if processes.has_machine(state.pod):
        _thaw_app(state)
    for app in pod_store.read_apps(state):
        with suppress(EndedPodError), _lock_app(app):
            _thaw_app(app)


def send_signal(state: PodState, number: int) -> None:
    """Send a signal to the program of a pod or an app, as `processes.send_signal` does; raises PodError.

    A paused one gets it when it is resumed, which SIGKILL does.
    """
    processes.send_signal(state, number)
    if number == signal.SIGKILL:
        unpause_pod(state)  # frozen processes do not end (version 1)


@contextmanager
def _lock_app(state: PodState) -> Iterator[None]:
    """Hold a lock against other commands that pause the app; the supervisor holds that of the directory."""
    try:
        descriptor = os.open(state.directory / pod_store.PLAN, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        error = PodError if state.directory.exists() else EndedPodError
        raise error(f"the plan of the pod {state.pod.name} is damaged or gone") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _freeze(state: PodState, list_processes: Callable[[PodState, int], set[int]]) -> None:
    program = _find_program(state)
    _thaw_app(state)  # the remains of a command that was killed
    try:
        freezer.freeze(state.directory / frozen.NAME, program, lambda: list_processes(state, program))
    except TimeoutError:
        raise PodError(f"cannot pause the pod {state.pod.name}: its processes do not freeze") from None
    except OSError as error:
        _find_program(state)
        raise _explain_error(state, error) from None


def _find_program(state: PodState) -> int:
    """Return the process id of the program; raises EndedPodError if it has ended."""
    program = processes.find_program(state)
    if program is None:
        raise EndedPodError(f"the program of the pod {state.pod.name} has ended")
    return program


def _thaw_app(state: PodState) -> None:
    try:
        freezer.thaw(state.directory / frozen.NAME)
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise PodError(f"cannot resume the pod {state.pod.name}: {reason}") from None


def _explain_error(state: PodState, error: OSError) -> PodError:
    reason = (error.strerror or "error").lower()
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason = "you may not create or change control groups here"
    return PodError(f"cannot pause the pod {state.pod.name}: {reason}", hint=_HINT)


def _list_machine(state: PodState, _: int) -> set[int]:
    """Return the processes of the virtual machine of several apps."""
    return {process.pid for process in processes.list_container_processes(state)}


def _list_processes(state: PodState, program: int) -> set[int]:
    """Return the processes of an app, those of ``pumice exec`` included.

    They are the descendants of its sandbox, those in its control groups or its namespace, and theirs. That
    is its PID namespace, or with fly, which shares that of the machine, its mount namespace.
    """
    members = {process.pid for process in processes.list_container_processes(state)}
    kind = "mnt" if state.pod.stage1 == "fly" else "pid"
    groups, namespace = _read_file(program, "cgroup"), _read_namespace(program, kind)
    is_shared = kind == "pid" and state.pod.shares_pids
    has_own_namespace = not is_shared and namespace != _read_namespace(os.getpid(), kind)
    has_own_groups = f"/{control_groups.PARENT}/" in groups
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            pid = int(entry.name)
            fields = _read_file(pid, "stat").rpartition(")")[2].split()
            if not fields or fields[0] in "ZX":  # it has ended
                continue
            parents[pid] = int(fields[1])
            is_inside = has_own_namespace and _read_namespace(pid, kind) == namespace
            if is_inside or (has_own_groups and _read_file(pid, "cgroup") == groups):
                members.add(pid)
    while descendants := {pid for pid, parent in parents.items() if parent in members} - members:
        members |= descendants
    return members & parents.keys()


def _read_file(pid: int, name: str) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    return ""


def _read_namespace(pid: int, kind: str) -> int:
    """Return the number of a namespace of a process, one that nothing has if it cannot be read."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/ns/{kind}").stat().st_ino
    return -pid
