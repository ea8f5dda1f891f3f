"""One app of a pod: its sandbox, its log, its health check, and the records of its start and end."""

from __future__ import annotations

import os
import time

from pumice.runtime.pods.supervisor import pod_files, process_tree
from pumice.runtime.pods.supervisor.attach_server import AttachServer
from pumice.runtime.pods.supervisor.health import HealthCheck
from pumice.runtime.pods.supervisor.log_writer import LogWriter
from pumice.runtime.pods.supervisor.program_streams import PIPE_SIZE, ProgramStreams
from pumice.runtime.pods.supervisor.watch import is_readable
from pumice.runtime.sandbox import main as sandbox
from pumice.runtime.sandbox.argument_codec import decode_arguments
from pumice.runtime.sandbox.descriptors import close_others
from pumice.runtime.sandbox.errors import NOT_EXECUTABLE, NOT_FOUND
from pumice.runtime.sandbox.memory_watch import MemoryWatch
from pumice.runtime.sandbox.signals import FORWARDED_SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pumice.runtime.pods.supervisor.options import AppOptions, SupervisorOptions
    from pumice.runtime.pods.supervisor.output import Output
    from pumice.runtime.pods.supervisor.watch import Watch

_MAX_REASON = 1 << 16
_KILLED = 137
_SANDBOX_FAILED = 11
"""The exit code of `pumice.errors.SandboxError`."""
_NOT_STARTED = 125


class App:
    """An app, from waiting for others to its end."""

    def __init__(
        self, options: AppOptions, pod: SupervisorOptions, watch: Watch, output: Output | None
    ) -> None:
        self.options = options
        self._pod = pod
        self._watch = watch
        self._output = output
        self._child = 0
        self._process = -1
        self._readers: dict[int, str] = {}
        self._are_readers_held = False
        self._attach: AttachServer | None = None
        self._log: LogWriter | None = None
        self._health: HealthCheck | None = None
        self._memory: MemoryWatch | None = None
        self._is_start_known = False
        self.was_released = False
        """Whether it was started, and not only prepared."""
        self.is_prepared = options.machine_app < 0
        """Whether it can start: in the machine of its pod, its files are shared first."""
        self.has_executed = False
        self.code: int | None = None
        """The exit code, None while it has not ended."""
        self.was_cancelled = False
        """Whether it was never started."""
        self.cannot_run = False
        """Whether its program could not be executed."""
        self.reason = ""
        """Why it ended, if its program did not end by itself."""

    @property
    def is_waiting(self) -> bool:
        """Return whether it was not started yet."""
        return not self.was_released and not self.was_cancelled and self.code is None

    @property
    def is_settled(self) -> bool:
        """Return whether its program was executed, or will not be."""
        return self.has_executed or self.code is not None

    def satisfies(self, condition: str) -> bool | None:
        """Return whether another app that waits for this one may start, None if it is not known yet."""
        if condition == "succeeded":
            return None if self.code is None else self.code == 0
        if condition == "healthy" and self._health:
            status = "unhealthy" if self.code is not None else self._health.status
            return {"healthy": True, "unhealthy": False}.get(status)
        return self.has_executed or (None if self.code is None else False)

    @property
    def due(self) -> float | None:
        """Return when something is to be done for the health check."""
        return self._health.due if self._health else None

    def start(self, extra: list[str], extra_descriptor: int = -1) -> None:
        """Start the program, in a sandbox with more options than it had at first, and their descriptor.

        In a machine, `prepare` has started the sandbox, and these have no effect.
        """
        self.was_released = True
        if self.options.machine_app < 0:
            self.prepare(extra, extra_descriptor)
        else:
            self._release(b"g")

    def _release(self, answer: bytes) -> None:
        """Let the sandbox run the program in the machine of the pod, or end if ``answer`` is empty."""
        writer = self.options.go[1]
        try:
            os.write(writer, answer)
        except BrokenPipeError:  # it has ended, which is noticed next
            pass
        os.close(writer)

    @property
    def needs_preparation(self) -> bool:
        """Return whether `prepare` must be called before it can start."""
        return not self.is_prepared and not self._child and self.code is None

    def prepare(self, extra: list[str], extra_descriptor: int = -1) -> None:
        """Start the sandbox, as `start` says."""
        options = self.options
        streams = ProgramStreams(
            is_inherited=self._pod.terminal, is_interactive=options.interactive, is_terminal=bool(options.tty)
        )
        if options.tty == "own":
            extra = [*extra, "--own-terminal"]
        self._memory = MemoryWatch(options.cgroups)
        self._child = os.fork()
        if self._child == 0:
            self._run_sandbox(streams, extra, extra_descriptor)
        self._log = LogWriter(options.directory, self._pod.log_size)
        self._close_inherited()
        streams.close_inner_ends()
        if not self._pod.terminal:
            program_input = streams.make_input(
                *(self._watch, self._child),
                signals_keys=options.typed_signals,
                signals_size=options.tty == "engine",
            )
            self._attach = AttachServer(options.directory, self._watch, program_input, self._resume_output)
        for reader, stream in streams.readers.items():
            self._readers[reader] = stream
            self._watch.add(reader, self._copy_output)
        self._process = os.pidfd_open(self._child)
        self._watch.add(self._process, self._reap)
        self._watch.add(options.executed[0], self._record_start)

    def _run_sandbox(self, streams: ProgramStreams, extra: list[str], extra_descriptor: int) -> NoReturn:
        """Become the sandbox, with the streams and descriptors that it needs, and no others."""
        options = self.options
        try:
            streams.install()
            kept = {0, 1, 2, options.reasons[1], options.executed[1], extra_descriptor, *options.inherited}
            close_others(kept)
            os._exit(sandbox.main([*extra, *options.sandbox]))
        finally:
            os._exit(125)

    def _close_inherited(self) -> None:
        for descriptor in (self.options.reasons[1], self.options.executed[1], *self.options.inherited):
            os.close(descriptor)

    def cancel(self, reason: str, *, is_failure: bool = False) -> None:
        """End an app that was not started, for a reason; ``is_failure`` if that is not the end of another."""
        self.cannot_run = is_failure
        self.was_cancelled = True
        self.reason = reason
        if self._child:  # it waits in the machine of the pod
            self._release(b"")
            return
        self._close_inherited()
        self.code = self._cancellation_code
        self._write_end()

    @property
    def _cancellation_code(self) -> int:
        return _SANDBOX_FAILED if self.cannot_run else _NOT_STARTED

    def send_signal(self, number: int) -> None:
        """Send a signal to the program, as `processes.send_signal` does."""
        if self.was_released and self._child and self.code is None:
            program = None if number in FORWARDED_SIGNALS else self.find_program()
            os.kill(program or self._child, number)

    def find_program(self) -> int | None:
        """Return the number of the program, None if it has not started or has ended."""
        return process_tree.find_program(self._child, self.options.depth, self.options.generations)

    def check_health(self) -> None:
        """Begin or end a health check, if it is time."""
        if self._health is None or time.monotonic() < self._health.due:
            return
        running = self._health.process
        self._health.advance(self.find_program() if running < 0 else None)
        if running >= 0 and self._health.process < 0:
            self._watch.remove(running)
        elif running < 0 <= self._health.process:
            self._watch.add(self._health.process, self._finish_check)

    def _finish_check(self, descriptor: int) -> None:
        self._watch.remove(descriptor)
        if self._health:
            self._health.finish()

    def _record_start(self, descriptor: int) -> None:
        """Record that the program was executed, unless the pipe closed because it was not."""
        if not self.is_prepared and os.read(descriptor, 1):
            self.is_prepared = True
            return
        self._watch.remove(descriptor)
        os.close(descriptor)
        self._is_start_known = True
        if not self.was_released or is_readable(self.options.reasons[0]):
            return
        self.has_executed = True
        if self.options.health:
            self._health = HealthCheck(
                *(self.options.health, self.options.directory, self._read_plan(), self.options.machine_app)
            )
        pod_files.write_start(self.options.directory, self._child)

    def _read_plan(self) -> list[str]:
        descriptor = os.open("plan", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.options.directory)
        with open(descriptor, "rb") as file:
            return decode_arguments(file.read())

    def _copy_output(self, descriptor: int) -> bool:
        """Copy what can be read now; return whether there may be more."""
        try:
            data = os.read(descriptor, PIPE_SIZE)
        except BlockingIOError:
            return False
        except OSError:  # EIO: the program's terminal is closed
            data = b""
        if not data:
            if not self._are_readers_held:
                self._watch.remove(descriptor)
            os.close(descriptor)
            del self._readers[descriptor]
            return False
        stream = self._readers[descriptor]
        if self._log:
            self._log.add(stream, data)
        if self._output:
            self._output.write(stream, data)
        if self._attach:
            self._attach.send(stream, data)
            if self._attach.is_congested and not self._are_readers_held:
                self._are_readers_held = True
                for reader in self._readers:
                    self._watch.remove(reader)
        return True

    def _resume_output(self) -> None:
        """Read output again, because the clients have taken what there was."""
        if self._are_readers_held:
            self._are_readers_held = False
            for reader in self._readers:
                self._watch.add(reader, self._copy_output)

    def _reap(self, descriptor: int) -> None:
        """Reap the sandbox, copy what its program wrote last, and record how it ended."""
        self._watch.remove(descriptor)
        os.close(descriptor)
        while not self._is_start_known:  # it was executed and ended since the last look
            self._record_start(self.options.executed[0])
        _, status = os.waitpid(self._child, 0)
        if self._health:
            if self._health.process >= 0:
                self._watch.remove(self._health.process)
            self._health.stop()
        for reader in list(self._readers):
            os.set_blocking(reader, False)
            while self._copy_output(reader):
                pass
            if reader in self._readers:  # a process that was left behind still has the other end
                if not self._are_readers_held:
                    self._watch.remove(reader)
                os.close(reader)
        self._readers.clear()
        code = os.waitstatus_to_exitcode(status)
        self._finish(code if code >= 0 else 128 - code)

    def _finish(self, code: int) -> None:
        os.set_blocking(self.options.reasons[0], False)
        try:
            reason = os.read(self.options.reasons[0], _MAX_REASON).decode(errors="replace").strip()
        except BlockingIOError:
            reason = ""
        if reason and code not in (NOT_FOUND, NOT_EXECUTABLE):
            code = _SANDBOX_FAILED
        if self._memory:
            if not reason and code == _KILLED:
                reason = self._memory.explain_kill()
            self._memory.close()
        if self.was_cancelled:
            self.code = self._cancellation_code
        else:
            self.code, self.reason = code, reason
            self.cannot_run = bool(reason) and not self.has_executed
        if self._log:
            self._log.close()
        if self._output:
            self._output.close()
        self._write_end()
        if self._attach:
            self._attach.close(self.code)

    def _write_end(self) -> None:
        pod_files.write_end(self.options.directory, self.code or 0, self.reason)
