"""Waiting for a child process, forwarding signals and reaping orphans."""

from __future__ import annotations

import os

from pumice.runtime.sandbox.signals import FORWARDED_SIGNALS, TYPED_SIGNALS, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def wait_and_forward(
    child: int, target: Callable[[], int] | None = None, first_process: Callable[[], str] | None = None
) -> int:
    """Wait for ``child``, reap all other processes, forward signals; return its exit code, or 128+signal.

    Signals go to ``child``, or to the process that ``target`` returns. The caller has blocked
    FORWARDED_SIGNALS and SIGCHLD. Signals of a terminal are not forwarded: they go to the whole foreground
    group, which includes the child. ``first_process`` returns the ``/proc`` directory of a program that is
    process 1: the kernel drops signals for which it has no handler, so they are turned into SIGKILL here.
    Keys that are typed on its own terminal arrive as TYPED_SIGNALS for the same reason.
    """
    watched = FORWARDED_SIGNALS | {signal.SIGCHLD, *TYPED_SIGNALS}
    ended_by = 0
    while True:
        info = signal.sigwaitinfo(watched)
        if info.si_signo == signal.SIGCHLD:
            code = _reap(child)
            if code is not None:
                was_killed = code in (-signal.SIGKILL, 128 + signal.SIGKILL)
                return 128 + ended_by if was_killed and ended_by else code if code >= 0 else 128 - code
            continue
        signal_number = TYPED_SIGNALS.get(info.si_signo, info.si_signo)
        was_sent_by_process = info.si_code <= 0 and not (first_process and info.si_signo in TYPED_SIGNALS)
        signal_to_send = info.si_signo if was_sent_by_process else 0
        if first_process and _ends_process(first_process(), signal_number):
            signal_to_send, ended_by = signal.SIGKILL, signal_number
        try:
            os.kill(target() if target else child, signal_to_send)
        except ProcessLookupError:
            pass


def _reap(child: int) -> int | None:
    """Reap every process that has ended; return the exit code of ``child`` (-N for signal N) if it has."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid == child:
            return os.waitstatus_to_exitcode(status)
        if pid == 0:
            return None


def _ends_process(process: str, signal_number: int) -> bool:
    """Return whether the signal would end the process, because its action is the default."""
    try:
        with open(f"{process}/status") as file:
            return is_fatal(file, signal_number)
    except OSError:
        return False


def is_fatal(status: Iterable[str], signal_number: int) -> bool:
    """Return whether a signal ends a process whose ``/proc/PID/status`` has these lines (proc(5))."""
    if signal_number == signal.SIGWINCH:
        return False
    handled = 0
    try:
        for line in status:
            if line.startswith(("SigBlk:", "SigIgn:", "SigCgt:")):
                handled |= int(line[7:], 16)
    except ValueError:
        return False
    return not handled >> (signal_number - 1) & 1


def kill_descendants() -> None:
    """Kill what a program left behind, which became the children of this process."""
    while child := find_child("/proc/self"):
        os.kill(int(child.removeprefix("/proc/")), signal.SIGKILL)
        os.waitpid(-1, 0)


def find_child(process: str) -> str:
    """Return the ``/proc`` directory of a process's first child, ``""`` if there is none."""
    try:
        for task in os.listdir(f"{process}/task"):
            with open(f"{process}/task/{task}/children") as file:
                for pid in file.read().split():
                    return f"/proc/{pid}"
    except OSError:
        pass
    return ""
