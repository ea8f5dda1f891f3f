"""The health check of a pod: a command in its container, repeated as the image says."""

from __future__ import annotations

import os
import time

from pumice.runtime.pods.supervisor import frozen, pod_files
from pumice.runtime.sandbox import join, syscalls
from pumice.runtime.sandbox.descriptors import close_others
from pumice.runtime.sandbox.options import parse_options
from pumice.runtime.sandbox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

MACHINE_PROGRAM = "health-program"
"""The file in the directory of an app in a virtual machine: the program that runs the command or connects."""
_MAX_OUTPUT = 500
_PROBE_SECONDS = 0.05
_TIMED_OUT_CODE = -1
_TIMED_OUT = "the check took longer than {} s"


class HealthCheck:
    """A health check and its results.

    ``texts`` are the interval, the timeout and the start period in seconds, the number of failures in a row
    that make a pod unhealthy, the kind and the command. Failures in the start period do not count.
    ``machine_app`` is the number of an app in the machine of its pod, -1 if it is the only one.
    """

    def __init__(
        self, texts: Sequence[str], directory: int, plan: Sequence[str], machine_app: int = -1
    ) -> None:
        self._interval, self._timeout, self._start_period = map(float, texts[:3])
        self._retries = int(texts[3])
        self._kind = texts[4]
        self._command = list(texts[5:])
        self._directory = directory
        self._plan = list(plan)
        self._machine_app = machine_app
        self.status = "starting"
        """``starting``, ``healthy`` or ``unhealthy``."""
        self._failures = 0
        self._begin = time.monotonic()
        self._output = -1
        self.process = -1
        """The pidfd of the check that runs now, -1 if none does."""
        self._pid = 0
        self.due = self._begin + self._interval
        """When the next check begins, or when the one that runs has taken too long."""

    def advance(self, program: int | None) -> None:
        """Begin the check that is due, or end the one that takes too long; ``program`` is that of the pod."""
        if time.monotonic() < self.due:
            return
        if frozen.is_paused(frozen.NAME, self._directory):  # also the check that runs waits
            self.due = time.monotonic() + self._interval
        elif self.process >= 0:
            signal.pidfd_send_signal(self.process, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._record(_TIMED_OUT_CODE, _TIMED_OUT.format(self._timeout))
        elif program is None:  # an engine has not started it yet
            self.due = time.monotonic() + _PROBE_SECONDS
        else:
            self._begin_check(program)

    def finish(self) -> None:
        """Record the result of the check that has ended."""
        _, status = os.waitpid(self._pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._record(code, os.pread(self._output, _MAX_OUTPUT, 0).decode(errors="replace").strip())

    def stop(self) -> None:
        """Kill the check that runs, if any: the pod has ended."""
        if self.process >= 0:
            signal.pidfd_send_signal(self.process, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._close()

    def _begin_check(self, program: int) -> None:
        self._output = os.memfd_create("health", os.MFD_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._execute(program)
            finally:
                os._exit(125)
        self.process = os.pidfd_open(self._pid)
        self.due = time.monotonic() + self._timeout

    def _execute(self, program: int) -> None:
        machine_program = _open(self._directory, MACHINE_PROGRAM)
        if machine_program >= 0:
            self._execute_in_machine(machine_program)
        joined = os.pidfd_open(program)
        filters = _open(self._directory, "filter")
        null = os.open("/dev/null", os.O_RDWR)
        for number, descriptor in enumerate((null, self._output, self._output)):
            os.dup2(descriptor, number)
        close_others({0, 1, 2, joined, filters})
        if self._kind != "exec":
            from pumice.runtime.pods.supervisor.network_check import check_network

            os._exit(check_network(joined, program, self._kind, self._command))
        extra = ["--join", str(joined), "--status-fd", "2", "--die-with-parent"]
        extra += ["--seccomp", str(filters)] if filters >= 0 else []
        options = parse_options([*self._plan, *extra, "--", *self._command])
        options.terminal = False
        os._exit(join.run_in_container(options))

    def _execute_in_machine(self, program: int) -> NoReturn:
        from pumice.runtime.pods.supervisor import machine_check

        syscalls.end_with_parent()
        null = os.open("/dev/null", os.O_RDWR)
        for number, descriptor in enumerate((null, self._output, self._output)):
            os.dup2(descriptor, number)
        close_others({0, 1, 2, self._directory, program})
        machine = machine_check.Machine(self._directory, self._machine_app)
        if self._kind != "exec":
            os._exit(machine_check.check_server_in_machine(machine, program, self._kind, self._command))
        os._exit(machine_check.check_in_machine(machine, program, self._command[0]))

    def _record(self, code: int, output: str) -> None:
        self._close()
        self.due = time.monotonic() + self._interval
        if code == 0:
            self.status, self._failures = "healthy", 0
        elif self.status != "starting" or time.monotonic() - self._begin >= self._start_period:
            self._failures += 1
            if self._failures >= self._retries:
                self.status = "unhealthy"
        fields: dict[str, str | int | None] = {
            "status": self.status,
            "failures": self._failures,
            "exit_code": code,
            "output": output,
            "time": pod_files.format_time(time.time()),
        }
        try:
            pod_files.write_record(self._directory, "health", fields)
        except OSError:  # the disk is full
            pass

    def _close(self) -> None:
        os.close(self.process)
        os.close(self._output)
        self.process = self._output = -1


def _open(directory: int, name: str) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return -1
