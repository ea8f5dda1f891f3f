"""The processes of a running pod: found, identified and signaled without a race for their numbers."""

from __future__ import annotations

import os
import select
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import PodError, UsageError
from pumice.runtime.pods import pod_store
from pumice.runtime.pods.supervisor import pod_files, process_tree
from pumice.runtime.sandbox.signals import FORWARDED_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.runtime.pods.pod_store import PodState
    from pumice.runtime.pods.records import Pod, Started


class PodProcess(msgspec.Struct, frozen=True):
    """A process of a container: its number here and in the container, and its parent's number here."""

    pid: int
    inner_pid: int
    parent: int


def parse_signal(text: str) -> int:
    """Return the number of a signal: ``TERM``, ``SIGTERM``, ``RTMIN+3`` or ``15``; raises UsageError."""
    name = text.upper().removeprefix("SIG")
    base, plus, offset = name.partition("+")
    with suppress(ValueError, KeyError):
        if name.isascii() and name.isdigit():
            number = int(name)
        else:
            number = int(signal.Signals[f"SIG{base}"]) + (int(offset) if plus else 0)
        if 0 < number <= signal.SIGRTMAX:
            return number
    with suppress(KeyError):
        return int(signal.Signals[f"SIG{name}"])
    raise UsageError(f"unknown signal {text[:40]!r}", hint="use a name such as TERM, or a number such as 15")


@contextmanager
def open_process(pid: int, start_time: int, boot: str) -> Iterator[int]:
    """Yield a pidfd of the process that was recorded; raises PodError if it has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        raise PodError("the pod is not running") from None
    try:
        try:
            is_same = pod_files.read_start_time(pid) == start_time and pod_files.read_boot_id() == boot
        except OSError:
            is_same = False
        if not is_same:
            raise PodError("the pod is not running")
        yield descriptor
    finally:
        os.close(descriptor)


def require_running(state: PodState) -> Started:
    """Return the record of the start of a running pod, paused or not; raises PodError if it does not run."""
    if not state.has_program or state.started is None:
        raise PodError(
            f"the pod {state.pod.name} is not running (it is {state.state})",
            hint=f"see 'pumice status {state.pod.name}'",
        )
    return state.started


def require_unpaused(state: PodState) -> None:
    """Raise PodError if a pod is paused: its processes, and those that join them, do nothing."""
    if state.state == pod_store.PAUSED:
        raise PodError(
            f"the pod {state.pod.name} is paused", hint=f"resume it with 'pumice unpause {state.pod.name}'"
        )


def send_signal(state: PodState, number: int) -> None:
    """Send a signal to the program of a running pod; raises PodError if it does not run.

    The kernel drops signals for which process 1 has no handler, so those that the sandbox forwards go to the
    sandbox, which ends the program then. All others go to the program itself. In a pod of several apps, each
    program gets the signal.
    """
    started = require_running(state)
    if state.pod.apps:
        for app in pod_store.read_apps(state):
            if app.has_program:
                with suppress(PodError):  # it has ended since
                    send_signal(app, number)
        return
    if number in FORWARDED_SIGNALS:
        with open_process(started.sandbox, started.sandbox_start, started.boot) as sandbox:
            signal.pidfd_send_signal(sandbox, number)
        return
    with open_program(state) as program, suppress(ProcessLookupError):
        signal.pidfd_send_signal(program, number)


def ask_to_stop(state: PodState) -> None:
    """Ask the supervisor of a pod of several apps to stop each with its own signal, and to start no more."""
    with open_main_process(state) as supervisor:
        signal.pidfd_send_signal(supervisor, signal.SIGTERM)


@contextmanager
def open_main_process(state: PodState) -> Iterator[int]:
    """Yield a pidfd of a pod's supervisor, or of an app's sandbox; raises PodError if it has ended."""
    started = require_running(state)
    pid, start = started.supervisor, started.supervisor_start
    if state.pod.app_of:
        pid, start = started.sandbox, started.sandbox_start
    with open_process(pid, start, started.boot) as descriptor:
        yield descriptor


def wait_until_ended(state: PodState, seconds: float | None = None) -> bool:
    """Wait until a pod or an app has ended; return False if it still runs after ``seconds``."""
    if state.started is None:
        return True
    try:
        with open_main_process(state) as descriptor:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            return bool(poll.poll(None if seconds is None else seconds * 1000))
    except PodError:
        return True


@contextmanager
def open_program(state: PodState) -> Iterator[int]:
    """Yield a pidfd of the program of a running pod; raises PodError if it does not run."""
    require_running(state)
    program = find_program(state)
    descriptor = -1
    try:
        if program is not None:
            with suppress(OSError):
                descriptor = os.pidfd_open(program)
        # If it is still the program now, then the descriptor cannot be that of another process.
        if descriptor < 0 or find_program(state) != program:
            raise PodError(f"the program of the pod {state.pod.name} has ended")
        yield descriptor
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def has_machine(pod: Pod) -> bool:
    """Return whether the apps of a pod of several run in a virtual machine, which belongs to none of them."""
    return pod.stage1 == "kvm" and bool(pod.apps)


def list_container_processes(state: PodState) -> list[PodProcess]:
    """Return the processes in the container of a running pod, parents first.

    Of a pod of several apps, these are those of its virtual machine.
    """
    started = require_running(state)
    members = process_tree.list_members(started.sandbox, namespace_depth(state.pod))
    return [PodProcess(*member) for member in members]


def namespace_depth(pod: Pod) -> int:
    """Return how many PID namespaces there are.

    Two, unless the sandbox's init is process 1 of the first, or an app shares the first with others. Process
    1 of a virtual machine's sandbox forwards signals to the program. In a pod of several, an engine needs one
    more, and fly has none.
    """
    if pod.stage1 == "fly":
        return 0
    if pod.shares_pids:
        return 1
    if pod.stage1 == "kvm":
        return 2 if pod.app_of else 1
    if pod.stage1 == "builtin":
        return 1 if pod.init and not pod.app_of else 2
    return 3 if pod.app_of else 2


def count_generations(pod: Pod) -> int:
    """Return how many generations the program is below the first process of the innermost namespace.

    That is an init, or a process of the sandbox, which can have an engine as its child.
    """
    if pod.shares_pids and pod.stage1 == "bwrap":
        return 2
    return 1 if pod.init or pod.shares_pids else 0


def find_program(state: PodState) -> int | None:
    """Return the number of the program of a running pod, None if it has ended."""
    started = require_running(state)
    depth, generations = namespace_depth(state.pod), count_generations(state.pod)
    return process_tree.find_program(started.sandbox, depth, generations)
