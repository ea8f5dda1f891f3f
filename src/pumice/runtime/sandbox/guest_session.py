"""A program in a virtual machine, as its caller sees it: streams, signals and the exit code.

The frames of `guest_frames` go through a socket on which one message is one frame; `guest_bridge` is at its
other end. All that arrives comes from the machine, and may be false.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import termios

from pumice.runtime.sandbox import guest_frames as frames
from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.descriptors import close_if_open, write_all
from pumice.runtime.sandbox.errors import NOT_EXECUTABLE, NOT_FOUND, SETUP_FAILED, SetupError
from pumice.runtime.sandbox.signals import FORWARDED_SIGNALS, TYPED_SIGNALS, signal
from pumice.runtime.sandbox.streams import is_foreground
from pumice.runtime.sandbox.supervision import is_fatal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_STDOUT, _STDERR = 1, 2
_KEYS = {termios.VINTR: signal.SIGINT, termios.VQUIT: signal.SIGQUIT}
_RESULTS = struct.Struct("<qq")
_TERMINAL = struct.Struct("<IIIIB19s")
_MAX_QUERIES = 64
_LAST_FRAMES = 2000
"""The milliseconds until the end of a machine is known, with which the server of its files ends, too."""
_ORDINARY_KEYS = frozenset((*b"\t\n\r\x1b", *range(0x20, 0x100)))
"""What is typed most; usually, no other keys mean signals."""


class SessionError(SetupError):
    """A program was not executed in the machine, or its end is unknown; ``code`` is the exit code."""

    def __init__(self, message: str, hint: str = "", code: int = SETUP_FAILED) -> None:
        super().__init__(message, hint)
        self.code = code


class MachineGoneError(SessionError):
    """The machine ended, or closed the session, before it said how the program ended."""


class Session:
    """A session that is run once, with descriptors 0 to 2 of this process.

    ``connection`` is the socket, which is closed at the end. ``is_first`` says that the program is the first
    of its process namespace, for which the kernel drops signals without a handler. ``terminal`` are the
    streams that are its terminal; then 0 is one here. ``on_start`` is called when it was executed,
    ``on_output`` with 1 or 2 and its output, instead of writing that there. ``server`` is the child of this
    process that shares the files of the program, without which it would wait for them forever. The caller
    has blocked FORWARDED_SIGNALS and TYPED_SIGNALS.
    """

    def __init__(
        self,
        connection: int,
        name: str,
        *,
        terminal: tuple[int, ...] = (),
        is_first: bool = False,
        on_start: Callable[[], None] = lambda: None,
        on_output: Callable[[int, bytes], None] | None = None,
        server: int = 0,
    ) -> None:
        self._connection = connection
        self._name = name
        self._terminal = terminal
        self._is_first = is_first
        self._on_start = on_start
        self._on_output = on_output or _write_output
        self._signals = syscalls.open_signal_descriptor({*FORWARDED_SIGNALS, *TYPED_SIGNALS})
        self._server = os.pidfd_open(server) if server else -1
        self._has_server_ended = False
        self._outstanding = 0
        self._has_input = True
        self._queries: list[tuple[int, bytes]] = []
        self._ended_by = 0
        self._code: int | None = None

    def run(self, program: bytes = b"", app: int = 0) -> int:
        """Run a program that `guest.program_start` assembled; return the exit code, 128+N for signal N.

        Without one, the machine has that of the app. Raises SessionError.
        """
        attributes = termios.tcgetattr(0) if self._terminal else None
        try:
            if attributes is not None:
                _make_raw(attributes)
                self._send_size()
            for start in range(0, len(program), frames.MAX_CONTENT):
                self._send(frames.CONTENT, program[start : start + frames.MAX_CONTENT])
            self._send(frames.START_TERMINAL if self._terminal else frames.START, number=app)
            return self._wait_for_end()
        except ValueError:
            raise SessionError("the virtual machine sent an invalid frame") from None
        finally:
            if attributes is not None:
                _restore(attributes)
            close_if_open(self._server)
            os.close(self._signals)
            os.close(self._connection)

    def _send(self, kind: int, content: bytes = b"", number: int = 0) -> None:
        try:
            os.write(self._connection, frames.make_frame(kind, content, number))
        except ConnectionError:  # what was said before that is read next
            pass

    def _send_size(self) -> None:
        try:
            size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
        except OSError:  # the terminal is gone
            return
        self._send(frames.SIZE, number=int.from_bytes(size, "little"))

    def _wait_for_end(self) -> int:
        while self._code is None:
            self._wait()
        return self._code

    def _wait(self) -> None:
        """Wait for a frame, input or a signal, and handle it."""
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        poll.register(self._signals, select.POLLIN)
        if self._has_input and self._outstanding < frames.WINDOW:
            poll.register(0, select.POLLIN)
        if self._server >= 0 and not self._has_server_ended:
            poll.register(self._server, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(_LAST_FRAMES if self._has_server_ended else None)]
        if self._server in ready:
            self._has_server_ended = True
        elif not ready:
            raise SessionError(
                f"virtiofsd, which shares files with the virtual machine, ended before {self._name}"
            )
        if self._signals in ready:
            self._handle_signal()
        if self._connection in ready:
            self._receive()
        elif 0 in ready:
            self._copy_input()

    def _copy_input(self) -> None:
        try:
            data = os.read(0, frames.WINDOW - self._outstanding)
        except BlockingIOError:
            return
        except OSError:  # there is none, the terminal is gone, or this is not its foreground process
            data = b""
        if not data:
            self._has_input = False
            self._send(frames.END_OF_INPUT)
            if self._terminal and self._is_first:
                self._query(signal.SIGHUP, b"")
            return
        self._outstanding += len(data)
        self._send(frames.INPUT, data)
        if self._terminal and self._is_first and not _ORDINARY_KEYS.issuperset(data):
            self._query(0, data)

    def _handle_signal(self) -> None:
        number, _ = syscalls.read_signal(self._signals)
        if number == signal.SIGWINCH and self._terminal:
            self._send_size()
            return
        number = TYPED_SIGNALS.get(number, number)
        self._send(frames.SIGNAL, number=number)
        if self._is_first and number != signal.SIGWINCH:
            self._query(number, b"")

    def _query(self, number: int, typed: bytes) -> None:
        """Ask how the program handles a signal that was sent, or that a key means: it may be dropped."""
        if len(self._queries) < _MAX_QUERIES:
            self._queries.append((number, typed))
            self._send(frames.QUERY)

    def _receive(self) -> None:
        try:
            data = os.read(self._connection, frames.MAX_FRAME)
        except ConnectionResetError:
            return  # it closed before it had read all, and what it sent is read next
        if not data:
            raise MachineGoneError(f"the virtual machine ended before {self._name}")
        kind, number, content = frames.split_frame(data)
        match kind:
            case frames.OUTPUT | frames.ERROR:
                self._on_output(_STDOUT if kind == frames.OUTPUT else _STDERR, content)
            case frames.ACCEPTED:
                self._outstanding -= min(self._outstanding, number)
            case frames.STARTED:
                self._on_start()
            case frames.STATE:
                self._handle_state(content)
            case frames.NOT_EXECUTED | frames.FAILED:
                raise _explain_failure(kind, content, self._name)
            case frames.BUSY:
                raise SessionError(
                    f"cannot run {self._name}: the virtual machine runs as many programs as it can",
                    "end one of them",
                )
            case frames.ENDED:
                self._code = self._exit_code(number)

    def _handle_state(self, content: bytes) -> None:
        """Kill the program if a signal would have ended it, were it not the first of its namespace."""
        if not self._queries:
            return
        number, typed = self._queries.pop(0)
        number = number or _find_typed_signal(content[: frames.TERMINAL_BYTES], typed)
        lines = content[frames.TERMINAL_BYTES :].decode(errors="replace").split("\n")
        if number and lines and is_fatal(lines, number):
            self._ended_by = number
            self._send(frames.SIGNAL, number=signal.SIGKILL)

    def _exit_code(self, status: int) -> int:
        ended_by = status & 0x7F
        if ended_by == signal.SIGKILL and self._ended_by:
            return 128 + self._ended_by
        return 128 + ended_by if ended_by else status >> 8 & 0xFF


def choose_terminal() -> tuple[int, ...]:
    """Return the streams of this process that a program gets as its terminal."""
    if not (os.isatty(0) and os.isatty(1) and is_foreground()):
        return ()
    return (0, 1, 2) if os.isatty(2) else (0, 1)


def _find_typed_signal(terminal: bytes, typed: bytes) -> int:
    """Return the signal that a typed key means on a terminal with this ``struct termios``, 0 if none does."""
    if len(terminal) < _TERMINAL.size:
        return 0
    *_, local, _, keys = _TERMINAL.unpack_from(terminal)
    numbers = [number for key, number in _KEYS.items() if keys[key] in typed]
    return numbers[0] if numbers and local & termios.ISIG else 0


def _write_output(target: int, data: bytes) -> None:
    try:
        write_all(target, data)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO):  # the reader or the terminal is gone
            raise SessionError(f"cannot write the program's output ({error.strerror})") from None


def _explain_failure(kind: int, content: bytes, name: str) -> SessionError:
    try:
        call, result = _RESULTS.unpack(content)
        reason = os.strerror(-result)
    except (struct.error, ValueError, OverflowError):
        return SessionError("the virtual machine sent an invalid frame")
    if kind == frames.FAILED:
        return SessionError(f"system call {call} failed in the virtual machine ({reason})")
    if -result in (errno.ENOENT, errno.ENOTDIR):
        return SessionError(f"{name}: not found in the image", code=NOT_FOUND)
    return SessionError(f"{name}: cannot be executed: {reason}", code=NOT_EXECUTABLE)


def _make_raw(attributes: list[Any]) -> None:
    """Pass on what is typed as it is, because the program's terminal handles it."""
    raw = [0, 0, termios.CS8 | termios.CREAD, 0, *attributes[4:6], list(attributes[6])]
    raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    termios.tcsetattr(0, termios.TCSADRAIN, raw)


def _restore(attributes: list[Any]) -> None:
    try:
        termios.tcsetattr(0, termios.TCSADRAIN, attributes)
    except (OSError, termios.error):  # the terminal is gone
        pass
