"""The supervisor's entry point: start the sandbox, and watch it until it ends."""

from __future__ import annotations

import os
import select
import time

from pumice.runtime.pods.supervisor import groups, notification, pod_files, process_tree
from pumice.runtime.pods.supervisor.health import HealthCheck
from pumice.runtime.pods.supervisor.log_writer import LogWriter
from pumice.runtime.pods.supervisor.options import SupervisorOptions, parse_options
from pumice.runtime.sandbox import main as sandbox
from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.argument_codec import decode_arguments
from pumice.runtime.sandbox.descriptors import close_others, write_all
from pumice.runtime.sandbox.errors import NOT_EXECUTABLE, NOT_FOUND
from pumice.runtime.sandbox.signals import FORWARDED_SIGNALS, block_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_MAX_REASON = 1 << 16
_CHUNK = 1 << 16
_KILLED = 137
_SANDBOX_FAILED = 11
"""The exit code of `pumice.errors.SandboxError`."""


def main(arguments: Sequence[str]) -> int:
    """Run the pod; return the exit code of its program."""
    options = parse_options(arguments)
    block_signals()
    for descriptor in {options.directory, options.report} - {-1}:
        os.set_inheritable(descriptor, False)
    outputs = {} if options.terminal else {"stdout": os.pipe(), "stderr": os.pipe()}
    child = os.fork()
    if child == 0:
        _run_sandbox(options, outputs)
    log = LogWriter(options.directory, options.log_size)
    for descriptor in (
        options.reasons[1],
        options.executed[1],
        *options.inherited,
        *(writer for _, writer in outputs.values()),
    ):
        os.close(descriptor)
    readers = {reader: stream for stream, (reader, _) in outputs.items()}
    watch = _Watch(options, child, readers, log)
    code = watch.run()
    log.close()
    return _finish(options, code, has_started=watch.has_started)


def _run_sandbox(options: SupervisorOptions, outputs: dict[str, tuple[int, int]]) -> NoReturn:
    """Become the sandbox, with the streams and descriptors that it needs, and no others."""
    try:
        for number, (_, writer) in enumerate(outputs.values(), 1):
            os.dup2(writer, number)
        close_others({0, 1, 2, options.reasons[1], options.executed[1], *options.inherited})
        os._exit(sandbox.main(options.sandbox))
    finally:
        os._exit(125)


def _finish(options: SupervisorOptions, code: int, *, has_started: bool) -> int:
    """Record how the pod ended, and tell whoever waits for its start.

    Remove the pod if that was asked for, or if its program was never executed.
    """
    os.set_blocking(options.reasons[0], False)
    try:
        reason = os.read(options.reasons[0], _MAX_REASON).decode(errors="replace").strip()
    except BlockingIOError:
        reason = ""
    if reason and code not in (NOT_FOUND, NOT_EXECUTABLE):
        code = _SANDBOX_FAILED
    if not reason and code == _KILLED and groups.ran_out_of_memory(options.cgroups):
        reason = "out of memory"
    fields: dict[str, str | int | None] = {
        "exit_code": code,
        "error": reason,
        "time": pod_files.format_time(time.time()),
    }
    pod_files.write_record(options.directory, "ended", fields)
    if options.report >= 0:
        write_all(options.report, f"{code}\n{reason}".encode(errors="replace"))
        os.close(options.report)
    if reason and options.foreground:
        write_all(2, f"error: {reason}\n".encode(errors="replace"))
    groups.remove_groups(options.cgroups)
    if options.remove or (reason and not has_started):
        pod_files.remove_directory(options.path, options.trash)
    return code


class _Watch:
    """The descriptors of a running pod, and what is done when each becomes readable."""

    def __init__(
        self, options: SupervisorOptions, child: int, readers: dict[int, str], log: LogWriter
    ) -> None:
        self._options = options
        self._child = child
        self._readers = readers
        self._log = log
        self._health: HealthCheck | None = None
        self.has_started = False
        self._poll = select.poll()
        self._signals = syscalls.open_signal_descriptor(FORWARDED_SIGNALS)
        self._process = os.pidfd_open(child)
        for descriptor in (self._signals, self._process, options.executed[0], *readers):
            self._poll.register(descriptor, select.POLLIN)

    def run(self) -> int:
        """Watch until the sandbox ends, and return its exit code, 128+n for signal n."""
        while True:
            for descriptor, _ in self._poll.poll(self._milliseconds()):
                if descriptor == self._process:
                    return self._reap()
                if descriptor == self._signals:
                    self._forward_signal()
                elif descriptor == self._options.executed[0]:
                    self._record_start()
                elif self._health and descriptor == self._health.process:
                    self._poll.unregister(descriptor)
                    self._health.finish()
                else:
                    self._copy_output(descriptor)
            self._check_health()

    def _milliseconds(self) -> float | None:
        """Return how long nothing is to be done; None is for ever."""
        return max(0.0, self._health.due - time.monotonic()) * 1000 if self._health else None

    def _check_health(self) -> None:
        """Begin or end a health check, if it is time."""
        if self._health is None or time.monotonic() < self._health.due:
            return
        running = self._health.process
        options = self._options
        self._health.advance(
            process_tree.find_program(os.getpid(), options.depth, options.init) if running < 0 else None
        )
        if running >= 0:
            self._poll.unregister(running)
        elif self._health.process >= 0:
            self._poll.register(self._health.process, select.POLLIN)

    def _forward_signal(self) -> None:
        number, code = syscalls.read_signal(self._signals)
        # The signals of a terminal go to the whole foreground group, which includes the sandbox.
        if code <= 0 or not self._options.foreground:
            os.kill(self._child, number)

    def _record_start(self) -> None:
        """Record that the program was executed, unless the pipe closed because it was not."""
        self._poll.unregister(self._options.executed[0])
        os.close(self._options.executed[0])
        waiting = select.poll()
        waiting.register(self._options.reasons[0], select.POLLIN)
        if any(event & select.POLLIN for _, event in waiting.poll(0)):
            return
        self.has_started = True
        if self._options.health:
            self._health = HealthCheck(self._options.health, self._options.directory, self._read_plan())
        pid = os.getpid()
        fields: dict[str, str | int | None] = {
            "supervisor": pid,
            "supervisor_start": pod_files.read_start_time(pid),
            "sandbox": self._child,
            "sandbox_start": pod_files.read_start_time(self._child),
            "boot": pod_files.read_boot_id(),
            "time": pod_files.format_time(time.time()),
        }
        pod_files.write_record(self._options.directory, "started", fields)
        if self._options.notify:
            notification.notify(self._options.notify, "READY=1")
        if self._options.report >= 0:
            write_all(self._options.report, b"started\n")
            os.close(self._options.report)
            self._options.report = -1

    def _read_plan(self) -> list[str]:
        descriptor = os.open("plan", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._options.directory)
        with open(descriptor, "rb") as file:
            return decode_arguments(file.read())

    def _copy_output(self, descriptor: int) -> bool:
        """Copy what can be read now; return whether there may be more."""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._poll.unregister(descriptor)
            os.close(descriptor)
            del self._readers[descriptor]
            return False
        stream = self._readers[descriptor]
        self._log.add(stream, data)
        if self._options.foreground:
            try:
                write_all(1 if stream == "stdout" else 2, data)
            except OSError:  # nobody reads it any more; the log has it
                pass
        return True

    def _reap(self) -> int:
        """Reap the sandbox, copy what its program wrote last, and return its exit code."""
        _, status = os.waitpid(self._child, 0)
        if self._health:
            self._health.stop()
        for descriptor in list(self._readers):
            os.set_blocking(descriptor, False)
            while self._copy_output(descriptor):
                pass
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code
