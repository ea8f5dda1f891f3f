"""The bridge between a machine and its processes: what the machine sends may be anything."""

from __future__ import annotations

import os
import resource
import signal
import socket
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.runtime.sandbox import guest_bridge, syscalls
from pumice.runtime.sandbox import guest_frames as frames
from pumice.runtime.sandbox.guest_session import Session, SessionError

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 60


class Bridge:
    """A bridge in another process: the machine's ends of its sessions, the first process, and its path."""

    def __init__(self, machine: list[socket.socket], first: socket.socket, path: str, process: int) -> None:
        self.machine = machine
        self.first = first
        self.process = process
        self._path = path

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(TIMEOUT)
        connection.connect(self._path)
        return connection

    def read_machine(self, number: int) -> tuple[int, int, bytes]:
        """Return the next frame that the machine gets."""
        port = self.machine[number]
        header = port.recv(frames.HEADER.size, socket.MSG_WAITALL)
        kind, size, argument = frames.HEADER.unpack(header)
        return kind, argument, port.recv(size, socket.MSG_WAITALL) if size else b""


@contextmanager
def running_bridge(folder: Path, sessions: int) -> Iterator[Bridge]:
    path = str(folder / "machine")
    listener = syscalls.listen_at(path)
    pairs = [socket.socketpair() for _ in range(sessions)]
    first, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = os.fork()
    if process == 0:
        try:
            for machine, _ in pairs:
                machine.close()
            first.close()
            guest_bridge.serve([own.fileno() for _, own in pairs], [other.fileno()], listener)
        finally:
            os._exit(0)
    for _, own in pairs:
        own.close()
    other.close()
    os.close(listener)
    for end in (first, *(machine for machine, _ in pairs)):
        end.settimeout(TIMEOUT)
    try:
        yield Bridge([machine for machine, _ in pairs], first, path, process)
    finally:
        for machine, _ in pairs:
            machine.close()
        os.waitpid(process, 0)
        first.close()


def exchange_signal(bridge: Bridge) -> None:
    bridge.first.send(frames.make_frame(frames.SIGNAL, number=signal.SIGUSR1))
    assert bridge.read_machine(0) == (frames.SIGNAL, signal.SIGUSR1, b"")


def test_a_connection_waits_until_there_is_a_descriptor_for_it(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for _ in range(8):  # so that no descriptor is free below the limit, and the limit allows to poll
            stack.callback(os.close, os.open("/dev/null", os.O_RDONLY))
        bridge = stack.enter_context(running_bridge(tmp_path, 2))
        exchange_signal(bridge)  # it has closed what it does not need
        used = {int(path.name) for path in Path(f"/proc/{bridge.process}/fd").iterdir()}
        limits = resource.prlimit(bridge.process, resource.RLIMIT_NOFILE)
        limit = next(number for number in count() if number not in used)
        resource.prlimit(bridge.process, resource.RLIMIT_NOFILE, (limit, limits[1]))
        with bridge.connect() as other:
            for _ in range(3):  # nothing else waits with it
                exchange_signal(bridge)
            resource.prlimit(bridge.process, resource.RLIMIT_NOFILE, limits)
            assert bridge.read_machine(1) == (frames.RESET, 0, b"")
            other.send(frames.make_frame(frames.START))
            assert bridge.read_machine(1) == (frames.START, 0, b"")


def test_frames_pass_in_both_directions_however_they_are_cut(tmp_path: Path) -> None:
    with running_bridge(tmp_path, 2) as bridge:
        bridge.first.send(frames.make_frame(frames.START))
        assert bridge.read_machine(0) == (frames.START, 0, b"")
        output = frames.make_frame(frames.OUTPUT, b"x" * frames.MAX_CONTENT)
        for byte in output[:30]:
            bridge.machine[0].send(bytes([byte]))
        bridge.machine[0].send(output[30:] + frames.make_frame(frames.ENDED, number=7 << 8)[:5])
        assert bridge.first.recv(frames.MAX_FRAME) == output
        bridge.machine[0].send(frames.make_frame(frames.ENDED, number=7 << 8)[5:])
        assert frames.split_frame(bridge.first.recv(frames.MAX_FRAME)) == (frames.ENDED, 7 << 8, b"")


@pytest.mark.parametrize(
    "data",
    [
        frames.HEADER.pack(frames.OUTPUT, frames.MAX_CONTENT + 1, 0),
        frames.HEADER.pack(frames.OUTPUT, 0xFFFFFFFF, 0),
        frames.HEADER.pack(frames.INPUT, 0, 0),
        frames.HEADER.pack(frames.BUSY, 0, 0),
        frames.HEADER.pack(0xFFFFFF00 | frames.ENDED, 0, 0),
        b"\xff" * 100_000,
    ],
    ids=["too large", "endless", "of the host", "of the bridge", "no kind", "garbage"],
)
def test_a_machine_that_sends_no_frames_is_left(tmp_path: Path, data: bytes) -> None:
    with running_bridge(tmp_path, 2) as bridge:
        bridge.machine[1].sendall(data)
        assert frames.split_frame(bridge.first.recv(frames.MAX_FRAME)) == (frames.FAILED, 0, b"")
        assert bridge.first.recv(frames.MAX_FRAME) == b""


def test_a_process_that_is_gone_frees_its_session_when_the_machine_says_so(tmp_path: Path) -> None:
    with running_bridge(tmp_path, 2) as bridge:
        with bridge.connect() as client:
            client.send(frames.make_frame(frames.CONTENT, b"program"))
            client.send(frames.make_frame(frames.START))
            for expected in (frames.RESET, frames.CONTENT, frames.START):
                assert bridge.read_machine(1)[0] == expected
            with bridge.connect() as second:
                assert frames.split_frame(second.recv(frames.MAX_FRAME))[0] == frames.BUSY
        assert bridge.read_machine(1) == (frames.SIGNAL, signal.SIGKILL, b"")
        with bridge.connect() as third:
            assert frames.split_frame(third.recv(frames.MAX_FRAME))[0] == frames.BUSY
        # What it still says is for nobody. The bridge reads it before it accepts a later connection.
        bridge.machine[1].send(frames.make_frame(frames.OUTPUT, b"late") + frames.make_frame(frames.ENDED))
        with bridge.connect() as fourth:
            fourth.send(frames.make_frame(frames.START))
            assert [bridge.read_machine(1)[0] for _ in range(2)] == [frames.RESET, frames.START]


def test_a_process_that_sends_no_frames_loses_its_session_only(tmp_path: Path) -> None:
    with running_bridge(tmp_path, 2) as bridge:
        with bridge.connect() as client:
            client.send(b"garbage")
            with pytest.raises((ConnectionResetError, BrokenPipeError, EOFError)):
                if not client.recv(1):
                    raise EOFError
        bridge.first.send(frames.make_frame(frames.START))
        assert bridge.read_machine(0)[0] == frames.START


ANSWERS = {
    "no frame": (b"abc", "invalid frame"),
    "a failure without numbers": (frames.make_frame(frames.FAILED), "invalid frame"),
    "an impossible error": (
        frames.make_frame(frames.NOT_EXECUTED, b"\x00" * 8 + b"\x00" * 7 + b"\x80"),
        "invalid frame",
    ),
    "no end": (b"", "the virtual machine ended before sh"),
    "a missing program": (
        frames.make_frame(frames.NOT_EXECUTED, b"\x3b" + bytes(7) + b"\xfe" + b"\xff" * 7),
        "sh: not found in the image",
    ),
}


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_a_session_explains_what_the_machine_answers(name: str) -> None:
    answer, reason = ANSWERS[name]
    own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if answer:
        other.send(answer)
    other.shutdown(socket.SHUT_WR)
    with pytest.raises(SessionError, match=reason):
        Session(own.detach(), "sh").run()
    other.close()
