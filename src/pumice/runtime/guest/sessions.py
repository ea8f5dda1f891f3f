"""The sessions of a virtual machine: each is a serial port through which the host runs programs, one by one.

All processes that serve sessions share their memory, have no stack, and no variable in common but the numbers
of the programs. Three processes belong to a program: the server reads frames of the host, the monitor waits
for the program, and two copies of the monitor copy its input and its output.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pumice.runtime.guest.machine_code import Assembler, Value, address_of
from pumice.runtime.guest.system_calls import (
    CLONE,
    CLOSE,
    CLOSE_RANGE,
    DUP2,
    EXECVEAT,
    EXIT,
    FORK,
    IOCTL,
    KILL,
    MEMFD_CREATE,
    NANOSLEEP,
    OPEN,
    OPENAT,
    PIDFD_OPEN,
    PIPE2,
    POLL,
    READ,
    SETNS,
    WAIT4,
    WRITE,
)
from pumice.runtime.launch.machine import EXTRA_SESSIONS
from pumice.runtime.sandbox import guest_frames as frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pumice.runtime.guest.machine_code import Operand

PROGRAM_FILE, PORT, EXECUTED, TERMINAL, CONTAINER = 3, 4, 5, 6, 7
"""The descriptors of the program of `program_start`: itself, where it reports a failure, a pipe that closes
when the program of the image is executed, the outer end of its terminal, and a process of its container."""
RESERVED = 16
"""No descriptor of the machine's first program is lower, so none is in the way of these."""
TERMINALS = "/pts"
_O_RDWR, _O_RDONLY, _O_NOCTTY, _O_CLOEXEC = 2, 0, 0o400, 0o2000000
_CLONE_VM, _CLONE_NEWNS, _CLONE_NEWCGROUP, _CLONE_NEWPID = 0x100, 0x20000, 0x2000000, 0x20000000
_SIGCHLD, _SIGKILL = 17, 9
_POLLIN, _AT_EMPTY_PATH = 1, 0x1000
_TIOCSPTLCK, _TIOCSWINSZ, _TCGETS = 0x40045431, 0x5414, 0x5401
_POLL = struct.pack("<QQ", 0, 1_000_000)
_MAX_STATE, _MAX_LAST_READS = 4096, 128


def open_port(program: Assembler, number: int) -> Value:
    """Open a serial port; it appears a moment after its driver was loaded."""
    descriptor, again, miss, done = program.variable(), *map(program.label, ("again", "miss", "done"))
    path, pause = program.text(f"/dev/vport0p{number}"), program.data(_POLL)
    program.mark(again)
    program.call(OPEN, path, _O_RDWR | _O_CLOEXEC, result=descriptor)
    program.jump_if_negative(miss)
    program.jump(done)
    program.mark(miss)
    program.call(NANOSLEEP, pause, 0)
    program.jump(again)
    program.mark(done)
    return descriptor


def fork_sessions(program: Assembler, files: Sequence[str]) -> None:
    """Start the sessions of apps, whose programs are ``files``, and those of further programs."""
    count = len(files) + EXTRA_SESSIONS
    ports = [open_port(program, number) for number in range(1, count + 1)]
    apps = [program.variable() for _ in files]
    for number, port in enumerate(ports):
        session = _Session(program, port, apps, number if number < len(files) else None)
        after = program.label("after")
        program.call(CLONE, _CLONE_VM | _SIGCHLD, 0, 0, 0, 0)
        program.jump_if_not_zero(after)
        session.serve(files[number] if number < len(files) else "")
        program.mark(after)


def store_decimal(program: Assembler, number: Value, target: Value) -> None:
    """Set the 8 bytes of ``target`` to the digits of ``number``, which has at most 7 and is lost."""
    quotient, again, divide, rest = program.variable(), *map(program.label, ("again", "divide", "rest"))
    program.set(target, 0)
    program.mark(again)
    program.set(quotient, 0)
    program.mark(divide)
    program.subtract(number, 10)
    program.jump_if_negative(rest)
    program.add(quotient, 1)
    program.jump(divide)
    program.mark(rest)
    program.add(number, 10 + ord("0"))
    for _ in range(8):
        program.add(target, target)
    program.add(target, number)
    program.set(number, quotient)
    program.compare(number, 0)
    program.jump_if_not_zero(again)


class _Frame:
    """A buffer for a frame."""

    def __init__(self, program: Assembler, size: int) -> None:
        buffer = program.variable(frames.HEADER.size + size)
        self.start = buffer
        self.kind, self.size = Value(buffer.offset, narrow=True), Value(buffer.offset + 4, narrow=True)
        self.number = Value(buffer.offset + 8)
        self.content = Value(buffer.offset + frames.HEADER.size)


class _Session:
    """The code of one session, and its variables. ``app`` is the number of its app, None for any."""

    def __init__(self, program: Assembler, port: Value, apps: Sequence[Value], app: int | None) -> None:
        self._program = program
        self._port = port
        self._apps = apps
        self._app = app
        self._frame = _Frame(program, frames.MAX_CONTENT)
        self._file, self._input, self._terminal, self._size = (program.variable() for _ in range(4))
        self._child = program.variable() if app is None else apps[app]
        # What the monitor reads is not changed before it has ended.
        self._monitor, self._chosen_app, self._started_file = (program.variable() for _ in range(3))
        self._pairs = [program.variable() for _ in range(6)]

    def serve(self, file: str) -> None:
        """Handle frames of the host until the end of the machine; ``file`` is what the first START runs."""
        program, frame = self._program, self._frame
        for variable in (self._file, self._input, self._terminal):
            program.set(variable, -1)
        if file:
            program.call(OPEN, program.text(file), _O_RDONLY | _O_CLOEXEC, result=self._file)
        again = program.label("again")
        program.mark(again)
        self._read_exactly(frame.start, frames.HEADER.size)
        self._read_exactly(frame.content, frame.size)
        handlers: dict[int, Callable[[], None]] = {
            frames.RESET: lambda: self._close(self._file),
            frames.CONTENT: self._add_content,
            frames.START: lambda: self._start(is_terminal=0),
            frames.START_TERMINAL: lambda: self._start(is_terminal=1),
            frames.INPUT: lambda: self._write_all(self._input, frame.content, frame.size),
            frames.END_OF_INPUT: lambda: self._close(self._input),
            frames.SIGNAL: self._send_signal,
            frames.SIZE: self._resize,
            frames.QUERY: self._answer_query,
        }
        for kind, handle in handlers.items():
            other = program.label("other")
            program.compare(frame.kind, kind)
            program.jump_if_not_zero(other)
            handle()
            program.jump(again)
            program.mark(other)
        program.jump(again)

    def _read_exactly(self, target: Value, size: Operand) -> None:
        """Read so many bytes; before the host has opened the port, there are none, which is no end."""
        program = self._program
        left, position, count = (program.variable() for _ in range(3))
        again, nothing, done = map(program.label, ("again", "nothing", "done"))
        program.set(left, size)
        program.set(position, address_of(target))
        program.mark(again)
        program.compare(left, 0)
        program.jump_if_zero(done)
        program.call(READ, self._port, position, left, result=count)
        program.jump_if_negative(nothing)
        program.jump_if_zero(nothing)
        program.add(position, count)
        program.subtract(left, count)
        program.jump(again)
        program.mark(nothing)
        program.call(NANOSLEEP, program.data(_POLL), 0)
        program.jump(again)
        program.mark(done)

    def _write_all(self, target: Value, source: Value, size: Operand) -> None:
        """Write so many bytes; drop them if that fails."""
        program = self._program
        left, position, count = (program.variable() for _ in range(3))
        again, done = map(program.label, ("again", "done"))
        program.set(left, size)
        program.set(position, address_of(source))
        program.mark(again)
        program.compare(left, 0)
        program.jump_if_zero(done)
        program.call(WRITE, target, position, left, result=count)
        program.jump_if_negative(done)
        program.add(position, count)
        program.subtract(left, count)
        program.jump(again)
        program.mark(done)

    def _close(self, descriptor: Value) -> None:
        self._program.call(CLOSE, descriptor)
        self._program.set(descriptor, -1)

    def _add_content(self) -> None:
        program, exists = self._program, self._program.label("exists")
        program.compare(self._file, -1)
        program.jump_if_not_zero(exists)
        program.call(MEMFD_CREATE, program.text("program"), 1, result=self._file)
        program.mark(exists)
        self._write_all(self._file, self._frame.content, self._frame.size)

    def _send_signal(self) -> None:
        program, nothing = self._program, self._program.label("nothing")
        program.compare(self._child, 0)
        program.jump_if_zero(nothing)
        program.call(KILL, self._child, self._frame.number)
        program.mark(nothing)

    def _resize(self) -> None:
        self._program.set(self._size, self._frame.number)
        self._program.call(IOCTL, self._terminal, _TIOCSWINSZ, address_of(self._size))

    def _answer_query(self) -> None:
        """Send the settings of the terminal, and how the program handles signals."""
        program = self._program
        answer = _Frame(program, frames.TERMINAL_BYTES + _MAX_STATE)
        path, number, descriptor = program.variable(24), program.variable(), program.variable()
        program.call(IOCTL, self._terminal, _TCGETS, address_of(answer.content))
        program.set(path, int.from_bytes(b"/proc/", "little"))
        program.set(number, self._child)
        store_decimal(program, number, Value(path.offset + 6))
        program.call(OPEN, address_of(path), _O_RDONLY | _O_CLOEXEC, result=descriptor)
        inner = program.variable()
        program.call(OPENAT, descriptor, program.text("status"), _O_RDONLY | _O_CLOEXEC, result=inner)
        program.call(CLOSE, descriptor)
        text = address_of(answer.content, frames.TERMINAL_BYTES)
        bad, good = map(program.label, ("bad", "good"))
        program.call(READ, inner, text, _MAX_STATE, result=number)
        program.jump_if_negative(bad)
        program.jump(good)
        program.mark(bad)
        program.set(number, 0)
        program.mark(good)
        program.call(CLOSE, inner)
        program.set(answer.kind, frames.STATE)
        program.add(number, frames.TERMINAL_BYTES)
        program.set(answer.size, number)
        program.add(number, frames.HEADER.size)
        program.call(WRITE, self._port, address_of(answer.start), number)

    def _start(self, *, is_terminal: int) -> None:
        """Run the program in the file, with new pipes, and a terminal if requested."""
        program, pairs = self._program, self._pairs
        server = program.label("server")
        self._close(self._input)
        self._close(self._terminal)
        program.call(WAIT4, self._monitor, 0, 0, 0)
        program.set(self._chosen_app, self._frame.number)
        program.set(self._started_file, self._file)
        for pair in pairs:
            program.call(PIPE2, address_of(pair), _O_CLOEXEC)
        if is_terminal:
            path = program.text(f"{TERMINALS}/ptmx")
            program.call(OPEN, path, _O_RDWR | _O_NOCTTY | _O_CLOEXEC, result=self._terminal)
            program.call(IOCTL, self._terminal, _TIOCSPTLCK, program.data(bytes(4)))
            program.call(IOCTL, self._terminal, _TIOCSWINSZ, address_of(self._size))
        program.call(CLONE, _CLONE_VM | _SIGCHLD, 0, 0, 0, 0)
        program.jump_if_not_zero(server)
        self._watch_program(is_terminal=is_terminal)
        program.mark(server)
        program.store_result(self._monitor)
        program.set(self._input, _writer(pairs[0]))
        program.call(CLOSE, _reader(pairs[0]))
        for pair in pairs[1:]:
            program.call(CLOSE, _reader(pair))
            program.call(CLOSE, _writer(pair))
        self._close(self._file)

    def _watch_program(self, *, is_terminal: int) -> None:
        """Be the monitor: start the program, and send how it ended after all of its output."""
        program = self._program
        sent_input, own_input, output, _, _, ended = self._pairs
        container, parent, failed = program.variable(), program.label("parent"), program.label("failed")
        program.call(CLOSE, _writer(sent_input))
        target, source = _writer(own_input), _reader(output)
        if is_terminal:
            target = source = self._terminal
        # They are not in the process namespace of the app.
        input_copy = self._fork_input_copy(target)
        output_copy = self._fork_output_copy(source)
        self._enter_app(container, failed)
        is_app, status = self._app is not None, program.variable()
        program.set(status, 0)
        new = _CLONE_NEWPID | _CLONE_NEWNS | _CLONE_NEWCGROUP if is_app else 0
        program.call(CLONE, new | _SIGCHLD, 0, 0, 0, 0, result=self._child)
        program.jump_if_not_zero(parent)
        self._execute(container)
        program.mark(parent)
        self._close_program_ends()
        self._wait_for_program(status)
        program.mark(failed)
        self._close_program_ends()
        program.call(CLOSE, _writer(ended))
        program.call(WAIT4, output_copy, 0, 0, 0)
        program.call(KILL, input_copy, _SIGKILL)
        last = _Frame(program, 0)
        program.set(last.kind, frames.ENDED)
        program.set(last.number, status)
        program.call(WRITE, self._port, address_of(last.start), frames.HEADER.size)
        program.call(EXIT, 0)

    def _close_program_ends(self) -> None:
        """Close the ends of the pipes that only the program needs."""
        _, own_input, output, errors, executed, _ = self._pairs
        for end in (_reader(own_input), *map(_writer, (own_input, output, errors, executed))):
            self._program.call(CLOSE, end)

    def _wait_for_program(self, status: Value) -> None:
        program, result = self._program, self._program.variable()
        failed, good = map(program.label, ("failed", "good"))
        program.call(WAIT4, self._child, address_of(status), 0, 0, result=result)
        program.jump_if_negative(failed)
        program.jump(good)
        program.mark(failed)
        report_failure(program, self._port, frames.FAILED, CLONE, self._child)
        program.mark(good)
        program.set(self._child, 0)

    def _enter_app(self, container: Value, failed: str) -> None:
        """Let further processes be in the process namespace of the app, which runs already."""
        if self._app is not None:
            return
        program, result, good = self._program, self._program.variable(), self._program.label("good")
        program.set(result, 0)
        for number, app in enumerate(self._apps):
            other = program.label("other")
            program.compare(self._chosen_app, number)
            program.jump_if_not_zero(other)
            program.set(result, app)
            program.mark(other)
        program.call(PIDFD_OPEN, result, 0, result=container)
        program.call(SETNS, container, _CLONE_NEWPID, result=result)
        program.jump_if_zero(good)
        report_failure(program, self._port, frames.FAILED, SETNS, result)
        program.jump(failed)
        program.mark(good)

    def _execute(self, container: Value) -> None:
        """Execute the program that enters the container, with its descriptors."""
        program, result = self._program, self._program.variable()
        _, own_input, output, errors, executed, _ = self._pairs
        streams = (_reader(own_input), _writer(output), _writer(errors))
        placed = (*streams, self._started_file, self._port, _writer(executed), self._terminal, container)
        for number, descriptor in enumerate(placed):
            program.call(DUP2, descriptor, number)
        program.call(CLOSE_RANGE, len(placed), 0xFFFFFFFF, 0)
        words, variables = program.pointers([program.text("init")]), program.pointers([])
        program.call(
            *(EXECVEAT, PROGRAM_FILE, program.text(""), words, variables, _AT_EMPTY_PATH), result=result
        )
        report_failure(program, PORT, frames.FAILED, EXECVEAT, result)
        program.call(EXIT, 127)

    def _fork_input_copy(self, target: Value) -> Value:
        """Fork a process that writes the input to ``target``, and says how much; return its number."""
        program, process = self._program, self._program.variable()
        after, again, end = map(program.label, ("after", "again", "end"))
        program.call(FORK, result=process)
        program.jump_if_not_zero(after)
        program.call(CLOSE, _writer(self._pairs[-1]))
        program.call(CLOSE, _reader(self._pairs[1]))
        buffer, count = program.variable(frames.MAX_CONTENT), program.variable()
        answer = _Frame(program, 0)
        program.set(answer.kind, frames.ACCEPTED)
        program.mark(again)
        source = _reader(self._pairs[0])
        program.call(READ, source, address_of(buffer), frames.MAX_CONTENT, result=count)
        program.jump_if_negative(end)
        program.jump_if_zero(end)
        self._write_all(target, buffer, count)
        program.set(answer.number, count)
        program.call(WRITE, self._port, address_of(answer.start), frames.HEADER.size)
        program.jump(again)
        program.mark(end)
        program.call(EXIT, 0)
        program.mark(after)
        return process

    def _fork_output_copy(self, output: Value) -> Value:
        """Fork a process that sends output until the program has ended and nothing is left.

        A process that the program leaves behind can write on, so there is a limit. Return its number.
        """
        program, process = self._program, self._program.variable()
        *_, errors, executed, ended = self._pairs
        after, again, end, later = map(program.label, ("after", "again", "end", "later"))
        program.call(FORK, result=process)
        program.jump_if_not_zero(after)
        program.call(CLOSE, _writer(ended))
        self._close_program_ends()
        polled = _Polled(program, (_reader(executed), output, _reader(errors), _reader(ended)))
        timeout, reads = program.variable(), program.variable()
        program.set(timeout, -1)
        program.set(reads, _MAX_LAST_READS)
        program.mark(again)
        program.call(POLL, polled.address, 4, timeout)
        program.jump_if_zero(end)
        with polled.if_ready(0):
            polled.remove(0)
            self._send(frames.STARTED)
        for number, kind in ((1, frames.OUTPUT), (2, frames.ERROR)):
            with polled.if_ready(number):
                self._send_output(polled, number, kind)
        with polled.if_ready(3):
            polled.remove(3)
            program.set(timeout, 0)
        program.compare(timeout, 0)
        program.jump_if_not_zero(later)
        program.subtract(reads, 1)
        program.jump_if_zero(end)
        program.mark(later)
        program.jump(again)
        program.mark(end)
        program.call(EXIT, 0)
        program.mark(after)
        return process

    def _send(self, kind: int) -> None:
        frame = _Frame(self._program, 0)
        self._program.set(frame.kind, kind)
        self._program.call(WRITE, self._port, address_of(frame.start), frames.HEADER.size)

    def _send_output(self, polled: _Polled, number: int, kind: int) -> None:
        """Send what can be read of a stream, or remove it after its end."""
        program, frame = self._program, _Frame(self._program, frames.MAX_CONTENT)
        end, done, count = program.label("end"), program.label("done"), program.variable()
        content = address_of(frame.content)
        program.call(READ, polled.descriptor(number), content, frames.MAX_CONTENT, result=count)
        program.jump_if_negative(end)
        program.jump_if_zero(end)
        program.set(frame.kind, kind)
        program.set(frame.size, count)
        program.add(count, frames.HEADER.size)
        program.call(WRITE, self._port, address_of(frame.start), count)
        program.jump(done)
        program.mark(end)
        polled.remove(number)
        program.mark(done)


class _Polled:
    """The array of poll(2)."""

    def __init__(self, program: Assembler, descriptors: Sequence[Value]) -> None:
        self._program = program
        self._array = program.variable(8 * len(descriptors))
        self.address = address_of(self._array)
        for number, descriptor in enumerate(descriptors):
            entry = Value(self._array.offset + 8 * number)
            program.set(entry, descriptor)
            program.add(entry, _POLLIN << 32)

    def descriptor(self, number: int) -> Value:
        """Return the descriptor of an entry."""
        return Value(self._array.offset + 8 * number, narrow=True)

    def remove(self, number: int) -> None:
        """Do not wait for a descriptor any more."""
        self._program.set(self.descriptor(number), -1)

    @contextmanager
    def if_ready(self, number: int) -> Iterator[None]:
        """Run the code that is added in this context if there is something to read, or an end."""
        nothing = self._program.label("nothing")
        events = Value(self._array.offset + 8 * number + 4, narrow=True)
        self._program.compare(events, _POLLIN)
        self._program.jump_if_zero(nothing)
        yield
        self._program.mark(nothing)


def report_failure(program: Assembler, port: Operand, kind: int, number: int, result: Value) -> None:
    """Send the number of a system call and what it returned."""
    frame = _Frame(program, 16)
    program.set(frame.kind, kind)
    program.set(frame.size, 16)
    program.set(frame.content, number)
    program.set(Value(frame.content.offset + 8), result)
    program.call(WRITE, port, address_of(frame.start), frames.HEADER.size + 16)


def _reader(pair: Value) -> Value:
    return Value(pair.offset, narrow=True)


def _writer(pair: Value) -> Value:
    return Value(pair.offset + 4, narrow=True)
