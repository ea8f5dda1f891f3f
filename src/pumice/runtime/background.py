"""Containers that run in the background, with streams that are captured and a time limit."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from pumice.errors import SandboxError
from pumice.runtime.launch import execution
from pumice.runtime.launch.engines import choose_engine
from pumice.runtime.launch.errors import raise_reason
from pumice.runtime.sandbox.descriptors import create_memory_file
from pumice.runtime.stage1.planning import plan_launch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pumice.runtime.container import Container
    from pumice.runtime.launch.engines import Engine
    from pumice.runtime.stage1 import Stage1

_KILL_SECONDS = 10


class CapturedStream:
    """A pipe that a thread reads to its end. Only ``limit`` bytes are kept.

    When more arrives, the thread writes to the event ``overflow`` and reads no more.
    """

    def __init__(self, limit: int, overflow: int) -> None:
        self._reader, self.writer = os.pipe()
        self._limit = limit
        self._overflow = overflow
        self._data = bytearray()
        self.is_truncated = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._reader, 1 << 16):
                room = self._limit - len(self._data)
                self._data += data[:room]
                if len(data) > room:
                    self.is_truncated = True
                    os.eventfd_write(self._overflow, 1)
                    return
        finally:
            os.close(self._reader)

    def close_writer(self) -> None:
        """Close the end that the container has inherited."""
        os.close(self.writer)

    def finish(self) -> bytes:
        """Return what was written; call it after the container has ended."""
        self._thread.join()
        return bytes(self._data)


class BackgroundContainer:
    """A container that was started. It is killed when its context ends, or when it writes too much."""

    def __init__(
        self,
        pid: int,
        reasons: int,
        engine: Engine,
        outputs: tuple[CapturedStream, CapturedStream],
        overflow: int,
    ) -> None:
        self.pid = pid
        """The process of the sandbox; those of the container are below it."""
        self.stdout, self.stderr = outputs
        self._engine = engine
        self._reasons = reasons
        self._overflow = overflow
        self._descriptor = os.pidfd_open(pid)
        self._code: int | None = None

    def wait(self, deadline: float) -> int | None:
        """Return the exit code of the program as `run.execute` does, None if it runs at ``deadline``.

        ``deadline`` is a time of `time.monotonic`. Raises SandboxError if the program was not started.
        """
        if self._code is None:
            poll = select.poll()
            for descriptor in (self._descriptor, self._overflow):
                poll.register(descriptor, select.POLLIN)
            events = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            if not events:
                return None
            if any(descriptor == self._overflow for descriptor, _ in events):
                self.kill()
                return self._code
            _, status = os.waitpid(self.pid, 0)
            code = os.waitstatus_to_exitcode(status)
            self._code = code if code >= 0 else 128 - code
            self._raise_failure()
        return self._code

    def _raise_failure(self) -> None:
        if text := execution.read_reason(self._reasons):
            raise_reason(text, self._code or 0)
        self._code = self._engine.finish(self._code or 0)

    @property
    def wrote_too_much(self) -> bool:
        """Return whether it was killed because of its output."""
        return self.stdout.is_truncated or self.stderr.is_truncated

    def send_signal(self, number: int) -> None:
        """Send a signal to the program."""
        if self._code is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill everything in the container, and wait for its end."""
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._code = 128 + signal.SIGKILL

    def interrupt(self) -> None:
        """Kill everything in the container, from another thread; `wait` then returns there."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def stop(self, number: int, seconds: float) -> int | None:
        """Ask the program to end with a signal; kill it after ``seconds`` and return None then."""
        self.send_signal(number)
        code = self.wait(time.monotonic() + seconds)
        if code is None:
            self.kill()
        return code

    def close(self) -> None:
        """Kill what still runs, and free everything."""
        try:
            self.kill()
            self._engine.close()
        finally:
            for output in (self.stdout, self.stderr):
                output.finish()
            for descriptor in (self._descriptor, self._reasons, self._overflow):
                os.close(descriptor)


class RunningContainers:
    """The containers of several threads. They are started one after another.

    A process that is started inherits every descriptor that is inheritable at that moment, so two threads
    may not start containers at the same time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._containers: set[BackgroundContainer] = set()
        self._is_stopped = False

    @contextmanager
    def start(self, container: AbstractContextManager[BackgroundContainer]) -> Iterator[BackgroundContainer]:
        """Start a container of `start_container`, and yield it; raises SandboxError after `kill_all`."""
        with ExitStack() as stack:
            with self._lock:
                if self._is_stopped:
                    raise SandboxError("no more containers are started")
                started = stack.enter_context(container)
                self._containers.add(started)
            try:
                yield started
            finally:
                with self._lock:
                    self._containers.remove(started)

    def kill_all(self) -> None:
        """Kill all containers, and start no more."""
        with self._lock:
            self._is_stopped = True
            for container in self._containers:
                container.interrupt()


@contextmanager
def start_container(
    container: Container,
    runner: Stage1,
    scratch: Path,
    *,
    stdin: bytes = b"",
    limit: int,
    tracer: Sequence[str] = (),
) -> Iterator[BackgroundContainer]:
    """Start a container with ``stdin`` as its input, and yield it; ``limit`` is that of each output.

    ``tracer`` is that of `execution.spawn_sandbox`. Raises SandboxError if it cannot be started.
    """
    overflow = os.eventfd(0, os.EFD_CLOEXEC)
    outputs = (CapturedStream(limit, overflow), CapturedStream(limit, overflow))
    source = create_memory_file(stdin)
    try:
        launch = plan_launch(container, runner)
        engine = choose_engine(launch)
        try:
            streams = (source, outputs[0].writer, outputs[1].writer)
            sandbox = execution.spawn_sandbox(engine.start(launch, str(scratch)), streams, tracer=tracer)
        except BaseException:
            engine.close()
            raise
    except BaseException:
        os.close(overflow)
        raise
    finally:
        os.close(source)
        for output in outputs:
            output.close_writer()
    started = BackgroundContainer(sandbox.pid, sandbox.reasons, engine, outputs, overflow)
    try:
        yield started
    finally:
        started.close()
