"""The bridge between the sessions of a virtual machine and the processes whose programs run in it.

Each session is a socket to qemu. A process connects to the bridge, and gets a free session; then the bridge
passes on whole frames in both directions, at most one of which waits in each, so a slow reader delays only
its own program, and a machine that sends anything else than frames is ended.
"""

from __future__ import annotations

import os
import select

from pumice.runtime.sandbox import guest_frames as frames
from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.descriptors import is_exhausted
from pumice.runtime.sandbox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_READ = 1 << 16
_PAUSE_MILLISECONDS = 100
"""How long no connection is accepted after there was no descriptor or memory for one."""


class _Session:
    """A session, and the connection of its process, -1 while it has none."""

    def __init__(self, port: int, client: int = -1, *, is_reserved: bool = False) -> None:
        self.port = port
        self.client = client
        self.is_reserved = is_reserved
        self.is_busy = client >= 0
        self._runs_program = False
        self._to_guest = b""
        self._from_guest = b""
        for descriptor in (port, client):
            if descriptor >= 0:
                os.set_blocking(descriptor, False)

    def connect(self, client: int) -> None:
        """Give the session to a process."""
        self.client, self.is_busy = client, True
        self._to_guest += frames.make_frame(frames.RESET)

    def list_events(self) -> dict[int, int]:
        """Return the descriptors to wait for, with their events (poll(2))."""
        frame = frames.find_end(self._from_guest)
        events = {self.port: 0 if frame and self.client >= 0 else select.POLLIN}
        if self._to_guest:
            events[self.port] |= select.POLLOUT
        if self.client >= 0:
            events[self.client] = 0 if self._to_guest else select.POLLIN
            if frame:
                events[self.client] |= select.POLLOUT
        return events

    def handle(self, ready: dict[int, int]) -> None:
        """Copy what is possible; raises EOFError at the end of the machine, ValueError for a bad frame."""
        if ready.get(self.port, 0) & (select.POLLIN | select.POLLHUP | select.POLLERR):
            self._read_port()
        if self.client >= 0 and (events := ready.get(self.client, 0)) & (select.POLLIN | select.POLLHUP):
            if self._to_guest and events & select.POLLHUP:
                self.disconnect()
            self._read_client()
        self._write_port()
        self._write_client()

    def _read_port(self) -> None:
        try:
            data = os.read(self.port, _MAX_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            raise EOFError
        self._from_guest += data

    def _read_client(self) -> None:
        if self._to_guest or self.client < 0:
            return
        try:
            frame = os.read(self.client, frames.MAX_FRAME)
            kind = frames.split_frame(frame)[0]
        except BlockingIOError:
            return
        except (OSError, ValueError):
            self.disconnect()
            return
        self._runs_program = self._runs_program or kind in (frames.START, frames.START_TERMINAL)
        self._to_guest += frame

    def report_invalid_frame(self) -> None:
        """Tell the process that the machine has sent something else than frames."""
        try:
            if self.client >= 0:
                os.write(self.client, frames.make_frame(frames.FAILED))
        except OSError:
            pass

    def disconnect(self) -> None:
        """Forget the process, and end its program; the session is free when the machine says so."""
        if self.client >= 0:
            os.close(self.client)
            self.client = -1
        if self._runs_program:
            self._to_guest += frames.make_frame(frames.SIGNAL, number=signal.SIGKILL)
        else:
            self.is_busy = self.is_reserved

    def _write_port(self) -> None:
        try:
            while self._to_guest:
                self._to_guest = self._to_guest[os.write(self.port, self._to_guest) :]
        except BlockingIOError:
            pass
        except OSError:
            raise EOFError from None

    def _write_client(self) -> None:
        """Pass on the frames that are complete; without a process, drop them."""
        while end := frames.find_end(self._from_guest):
            frame = self._from_guest[:end]
            if self.client >= 0:
                try:
                    os.write(self.client, frame)
                except BlockingIOError:
                    return
                except OSError:
                    self.disconnect()
            self._from_guest = self._from_guest[end:]
            if frame[0] == frames.ENDED:
                self._runs_program = False
                if self.client < 0:
                    self.is_busy = self.is_reserved


def serve(ports: Sequence[int], clients: Sequence[int], listener: int) -> list[int]:
    """Serve the sessions until the machine ends or sends what is no frame; return the clients that are left.

    The first sessions belong to ``clients``; ``listener`` is a socket for others, -1 for none.
    """
    own = zip(ports, clients, strict=False)
    sessions = [_Session(port, client, is_reserved=True) for port, client in own]
    sessions += [_Session(port) for port in ports[len(clients) :]]
    can_accept = True
    try:
        while True:
            can_accept = _serve_once(sessions, listener if can_accept else -1, is_pause=not can_accept)
    except EOFError:
        pass
    except ValueError:
        for session in sessions:
            session.report_invalid_frame()
    return [session.client for session in sessions if session.client >= 0]


def _serve_once(sessions: Sequence[_Session], listener: int, *, is_pause: bool) -> bool:
    """Copy what is possible; return False if there were no descriptors or no memory for a connection."""
    poll = select.poll()
    for session in sessions:
        for descriptor, events in session.list_events().items():
            poll.register(descriptor, events)
    if listener >= 0:
        poll.register(listener, select.POLLIN)
    ready = dict(poll.poll(_PAUSE_MILLISECONDS if is_pause else None))
    for session in sessions:
        session.handle(ready)
    return listener not in ready or _accept(sessions, listener)


def _accept(sessions: Sequence[_Session], listener: int) -> bool:
    try:
        client = syscalls.accept_connection(listener)
    except OSError as error:
        return not is_exhausted(error)  # otherwise it has gone
    for session in sessions:
        if not session.is_busy:
            session.connect(client)
            return True
    try:
        os.write(client, frames.make_frame(frames.BUSY))
    except OSError:  # it has gone
        pass
    os.close(client)
    return True
