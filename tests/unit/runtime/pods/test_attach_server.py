"""The connections of ``pumice attach`` to a supervisor when they close at a bad moment."""

from __future__ import annotations

import os
import resource
import socket
from typing import TYPE_CHECKING

import pytest

from pumice.runtime.pods.supervisor import frames, watch
from pumice.runtime.pods.supervisor.attach_server import AttachServer
from pumice.runtime.pods.supervisor.program_input import ProgramInput
from pumice.runtime.pods.supervisor.watch import Watch
from pumice.runtime.sandbox import syscalls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class _Supervisor:
    """The parts of a supervisor that clients connect to, with a pipe as the input of the program."""

    def __init__(self, folder: Path) -> None:
        self.watch = Watch()
        self.input, written = os.pipe()
        os.set_blocking(self.input, False)
        program_input = ProgramInput(
            written,
            self.watch,
            0,
            is_terminal=False,
            is_open=True,
            signals_keys=False,
            signals_size=False,
        )
        self._folder, self.path = os.open(folder, os.O_RDONLY), folder / frames.SOCKET
        self.server = AttachServer(self._folder, self.watch, program_input, lambda: None)

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.connect(str(self.path))
        self.work()
        return client

    def work(self) -> None:
        """Handle all that is there now."""
        for _ in range(8):
            self.watch.wait(0)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[_Supervisor]:
    supervisor = _Supervisor(tmp_path)
    yield supervisor
    supervisor.server.close(0)
    os.close(supervisor.input)


@pytest.mark.parametrize("has_unread_output", [False, True])
@pytest.mark.parametrize("output_after_close", [0, 1, 1000])
def test_input_before_the_end_of_a_client_is_kept(
    supervisor: _Supervisor, *, has_unread_output: bool, output_after_close: int
) -> None:
    client = supervisor.connect()
    if has_unread_output:
        supervisor.server.send("stdout", b"not read")
    client.send(frames.STDIN + b"one ")
    client.send(frames.STDIN + b"two")
    client.close()
    for _ in range(output_after_close):
        supervisor.server.send("stdout", b"to nobody" * 1000)
    assert not supervisor.server.is_congested
    supervisor.work()
    assert os.read(supervisor.input, 100) == b"one two"


def test_a_client_that_closes_while_it_owes_output_holds_up_nobody(supervisor: _Supervisor) -> None:
    slow, fast = supervisor.connect(), supervisor.connect()
    while not supervisor.server.is_congested:
        supervisor.server.send("stdout", b"x" * frames.MAX_CONTENT)
        supervisor.work()
        fast.recv(frames.MAX_FRAME)
    slow.close()
    supervisor.work()
    fast.close()
    assert _is_free(supervisor.server)


@pytest.mark.parametrize("free_descriptors", [0, 1])
def test_a_client_for_which_there_is_no_descriptor_does_not_end_the_program(
    supervisor: _Supervisor, free_descriptors: int
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(supervisor.path))
        lowest = os.dup(client.fileno())
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + free_descriptors, limits[1]))
        try:
            supervisor.work()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    supervisor.connect().close()


def test_a_client_that_must_wait_for_a_descriptor_is_not_tried_again_at_once(
    supervisor: _Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept_connection, tries = syscalls.accept_connection, []

    def accept(listener: int) -> int:
        tries.append(listener)
        return accept_connection(listener)

    monkeypatch.setattr(syscalls, "accept_connection", accept)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(supervisor.path))
        lowest = os.dup(client.fileno())
        os.close(lowest)
        monkeypatch.setattr(watch, "_PAUSE_SECONDS", 3600.0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        try:
            supervisor.work()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert len(tries) == 1


def test_a_client_that_waited_for_a_descriptor_is_served(supervisor: _Supervisor) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(supervisor.path))
        lowest = os.dup(client.fileno())
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        try:
            supervisor.work()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        client.send(frames.STDIN + b"late")
        for _ in range(3):  # the end of the pause, the connection, the input
            supervisor.watch.wait(60_000)
        assert os.read(supervisor.input, 100) == b"late"


def _is_free(server: AttachServer) -> bool:
    return not server.is_congested
