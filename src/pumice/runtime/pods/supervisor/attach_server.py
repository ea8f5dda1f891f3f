"""The socket of an app on which ``pumice attach`` gets its output, and sends it input."""

from __future__ import annotations

import os
import select

from pumice.runtime.pods.supervisor import frames
from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.descriptors import is_exhausted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.runtime.pods.supervisor.program_input import ProgramInput
    from pumice.runtime.pods.supervisor.watch import Watch

_MAX_CLIENTS = 32
_MAX_QUEUE = 1 << 20
_FLUSH_MILLISECONDS = 2000


class _Client:
    """A connection, and the frames that it has not taken yet."""

    def __init__(self, reader: int, writer: int) -> None:
        self.reader = reader
        self.writer = writer
        self.queue: list[bytes] = []
        self.queued_bytes = 0
        self.is_held = False
        """Whether nothing is read from it, because the program does not take its input."""
        self.takes_output = True
        """False after it closed its end. What it sent before is still read."""

    def stop_output(self) -> None:
        """Drop what was not taken, because nobody reads it any more."""
        self.takes_output = False
        self.queue.clear()
        self.queued_bytes = 0


class AttachServer:
    """The clients of an app. Output waits for the slowest of them, so that none loses any.

    ``on_drain`` is called when there is room for output again. ``program_input`` is None if the program has
    no input that clients could write to.
    """

    def __init__(
        self,
        directory: int,
        watch: Watch,
        program_input: ProgramInput | None,
        on_drain: Callable[[], None],
    ) -> None:
        self._watch = watch
        self._input = program_input
        self._on_drain = on_drain
        self._clients: list[_Client] = []
        self._listener = _listen(directory)
        if self._listener >= 0:
            watch.add(self._listener, self._accept)
        if program_input:
            program_input.on_drain = self._resume_clients

    @property
    def is_congested(self) -> bool:
        """Return whether a client has to take output before there is more."""
        return any(client.queued_bytes > _MAX_QUEUE for client in self._clients)

    def send(self, stream: str, data: bytes) -> None:
        """Send output to all clients."""
        if self._clients:
            for start in range(0, len(data), frames.MAX_CONTENT):
                self._broadcast(frames.OUTPUT_KINDS[stream] + data[start : start + frames.MAX_CONTENT])

    def close(self, code: int) -> None:
        """Send the exit code to all clients, and wait a moment until they have taken what they were sent."""
        self._broadcast(frames.EXIT + str(code).encode())
        for client in list(self._clients):
            poll = select.poll()
            poll.register(client.writer, select.POLLOUT)
            while client.queue and poll.poll(_FLUSH_MILLISECONDS):
                self._flush(client)
            self._disconnect(client)
        if self._listener >= 0:
            self._watch.remove(self._listener)
            os.close(self._listener)

    def _accept(self, listener: int) -> None:
        try:
            descriptor = syscalls.accept_connection(listener)
        except OSError as error:
            if is_exhausted(error):
                self._watch.pause(listener)
            return
        try:
            writer = os.dup(descriptor) if len(self._clients) < _MAX_CLIENTS else -1
        except OSError:  # there are too many open files, and the program must go on
            writer = -1
        if writer < 0:
            os.close(descriptor)
            return
        client = _Client(descriptor, writer)
        self._clients.append(client)
        self._watch.add(descriptor, lambda _: self._receive(client))

    def _receive(self, client: _Client) -> None:
        try:
            frame = os.read(client.reader, frames.MAX_FRAME)
        except (BlockingIOError, ConnectionResetError):
            return  # it closed before it had read all output, and what it sent is read next
        except OSError:
            frame = b""
        if not frame:
            self._disconnect(client)
        elif self._input:
            self._handle(self._input, frame[:1], frame[1:])
            if self._input.is_congested:
                self._hold_clients()

    @staticmethod
    def _handle(program_input: ProgramInput, kind: bytes, content: bytes) -> None:
        if kind == frames.STDIN:
            program_input.write(content)
        elif kind == frames.END_OF_STDIN:
            program_input.end()
        elif kind == frames.SIZE:
            program_input.resize(content)

    def _hold_clients(self) -> None:
        for client in self._clients:
            if not client.is_held:
                client.is_held = True
                self._watch.remove(client.reader)

    def _resume_clients(self) -> None:
        for client in self._clients:
            if client.is_held:
                client.is_held = False
                self._watch.add(client.reader, lambda _, client=client: self._receive(client))  # type: ignore[misc]  # mypy cannot infer defaults

    def _broadcast(self, frame: bytes) -> None:
        for client in [client for client in self._clients if client.takes_output]:
            client.queue.append(frame)
            client.queued_bytes += len(frame)
            if len(client.queue) == 1 and self._flush(client):
                self._watch.add_writer(client.writer, lambda _, client=client: self._continue(client))  # type: ignore[misc]  # mypy cannot infer defaults

    def _continue(self, client: _Client) -> None:
        """Send more to a client that has room again."""
        was_congested = self.is_congested
        if not self._flush(client):
            self._watch.remove(client.writer)
        if was_congested and not self.is_congested:
            self._on_drain()

    def _flush(self, client: _Client) -> bool:
        """Send what a client takes now; return whether it must take more later."""
        try:
            while client.queue:
                os.write(client.writer, client.queue[0])
                client.queued_bytes -= len(client.queue.pop(0))
        except BlockingIOError:
            return True
        except OSError:
            client.stop_output()
        return False

    def _disconnect(self, client: _Client) -> None:
        if client not in self._clients:
            return
        was_congested = self.is_congested
        self._clients.remove(client)
        for descriptor in (client.reader, client.writer):
            if self._watch.has(descriptor):
                self._watch.remove(descriptor)
            os.close(descriptor)
        if was_congested and not self.is_congested:
            self._on_drain()


def _listen(directory: int) -> int:
    """Return a listening socket in the directory of an app, -1 if there can be none."""
    try:
        return syscalls.listen_at(f"/proc/self/fd/{directory}/{frames.SOCKET}")
    except OSError:  # a full disk, or a file system without sockets
        return -1
