"""Attaching the streams of this process to a program in a pod."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import termios
import tty
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import PodError
from pumice.runtime.pods import processes, waiting
from pumice.runtime.pods.detach_keys import DetachKeys
from pumice.runtime.pods.supervisor import frames
from pumice.runtime.sandbox.descriptors import write_all
from pumice.runtime.sandbox.signals import FORWARDED_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pumice.runtime.pods.pod_store import PodState

_OUTPUTS = {frames.STDOUT: 1, frames.STDERR: 2}


class AttachRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How to attach: with our input, with our signals, and the bytes of the keys that detach."""

    has_stdin: bool = True
    forwards_signals: bool = True
    detach_keys: bytes = b""


def attach_to_app(state: PodState, request: AttachRequest) -> int:
    """Copy between this process and the program of an app; return its exit code, or 0 after the detach keys.

    Output from before is in the log. Raises PodError if the app does not run, or has no socket.
    """
    processes.require_running(state)
    with ExitStack() as stack:
        connection = stack.enter_context(_connect(state))
        has_terminal = state.pod.terminal and os.isatty(0)
        reads_input = request.has_stdin and state.pod.interactive
        if has_terminal:
            if reads_input:
                stack.enter_context(_raw_terminal())
            stack.enter_context(_size_forwarded(connection))
        if request.forwards_signals and not state.pod.terminal:
            stack.enter_context(_signals_forwarded(state))
        keys = DetachKeys(request.detach_keys if os.isatty(0) else b"")
        code = _copy(connection, keys, reads_input=reads_input)
    if code is not None:
        return code
    ended = waiting.wait_for_end(state).ended
    return ended.exit_code if ended else 0


@contextmanager
def _connect(state: PodState) -> Iterator[socket.socket]:
    """Yield a connection to the supervisor; the path would be too long for a socket."""
    directory = _open_directory(state.directory)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        try:
            connection.connect(f"/proc/self/fd/{directory}/{frames.SOCKET}")
        except ConnectionRefusedError:
            raise PodError(f"the pod {state.pod.name} has just ended") from None
        except OSError:
            raise PodError(
                f"cannot attach to the pod {state.pod.name}: its streams belong to another command",
                hint="attach to a pod that was started with --detach",
            ) from None
        finally:
            os.close(directory)
        yield connection
    finally:
        connection.close()


def _open_directory(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        raise PodError(f"the pod {path.name} was removed") from None


@contextmanager
def _raw_terminal() -> Iterator[None]:
    """Pass on what is typed as it is, because the program's terminal handles it."""
    attributes = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, attributes)


@contextmanager
def _handled(numbers: set[int], handler: Callable[[int], None]) -> Iterator[None]:
    previous = {number: signal.signal(number, lambda number, _: handler(number)) for number in numbers}
    try:
        yield
    finally:
        for number, action in previous.items():
            signal.signal(number, action)


@contextmanager
def _size_forwarded(connection: socket.socket) -> Iterator[None]:
    def send_size(_: int) -> None:
        with suppress(OSError):
            connection.send(frames.SIZE + fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))

    send_size(signal.SIGWINCH)
    with _handled({signal.SIGWINCH}, send_size):
        yield


@contextmanager
def _signals_forwarded(state: PodState) -> Iterator[None]:
    def send(number: int) -> None:
        with suppress(PodError):  # it has ended since
            processes.send_signal(state, number)

    with _handled(set(FORWARDED_SIGNALS) - {signal.SIGWINCH}, send):
        yield


def _copy(connection: socket.socket, keys: DetachKeys, *, reads_input: bool) -> int | None:
    """Copy until the program ends or the keys are typed; return its exit code or 0, None if it is unknown."""
    sources = [connection.fileno(), *([0] if reads_input else [])]
    while True:
        readable, _, _ = select.select(sources, [], [])
        if connection.fileno() in readable:
            try:
                frame = connection.recv(frames.MAX_FRAME)
            except ConnectionResetError:
                continue  # the other end closed before it had read all input, and what it sent is read next
            if not frame:
                return None
            if frame[:1] == frames.EXIT:
                return int(frame[1:])
            write_all(_OUTPUTS[frame[:1]], frame[1:])
        if 0 in readable:
            typed = os.read(0, frames.MAX_CONTENT)
            if _send_input(connection, typed, keys):
                return 0
            if not typed:
                sources.remove(0)


def _send_input(connection: socket.socket, typed: bytes, keys: DetachKeys) -> bool:
    """Send what was typed, or its end; return whether the keys were typed."""
    data, is_detached = keys.filter(typed)
    with suppress(ConnectionError):  # the program has ended, and its exit code is read next
        if data:
            connection.sendall(frames.STDIN + data)
        if not typed:
            connection.sendall(frames.END_OF_STDIN)
    return is_detached
