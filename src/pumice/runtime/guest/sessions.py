"""The sessions of a virtual machine: each is a serial port through which the host runs programs, one by one.

All processes that serve sessions share their memory, have no stack, and no variable in common but the numbers
of the programs. Four processes belong to a program: the server reads frames of the host, the monitor waits
for the program, and two copies of the monitor copy its input and its output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.runtime.guest.machine_code import Assembler, Value, address_of
from pumice.runtime.guest.session_monitor import Monitor
from pumice.runtime.guest.session_parts import (
    MILLISECOND,
    Frame,
    reader,
    store_decimal,
    terminals_of,
    write_all,
    writer,
)
from pumice.runtime.guest.system_calls import (
    CLONE,
    CLOSE,
    IOCTL,
    KILL,
    MEMFD_CREATE,
    NANOSLEEP,
    OPEN,
    OPENAT,
    PIPE2,
    READ,
    WAIT4,
    WRITE,
)
from pumice.runtime.launch.machine import EXTRA_SESSIONS
from pumice.runtime.sandbox import guest_frames as frames

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.runtime.guest.machine_code import Operand

_O_RDWR, _O_RDONLY, _O_NOCTTY, _O_CLOEXEC = 2, 0, 0o400, 0o2000000
_CLONE_VM, _SIGCHLD = 0x100, 17
_TIOCSPTLCK, _TIOCSWINSZ, _TCGETS = 0x40045431, 0x5414, 0x5401
_TIOCGPTPEER, _TIOCVHANGUP = 0x5441, 0x5437
_MAX_STATE = 4096


def _open_port(program: Assembler, number: int) -> Value:
    """Open a serial port; it appears a moment after its driver was loaded."""
    descriptor, again, miss, done = program.variable(), *map(program.label, ("again", "miss", "done"))
    path, pause = program.text(f"/dev/vport0p{number}"), program.data(MILLISECOND)
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
    ports = [_open_port(program, number) for number in range(1, count + 1)]
    apps = [program.variable() for _ in files]
    for number, port in enumerate(ports):
        session = _Session(program, port, apps, number if number < len(files) else None)
        after = program.label("after")
        program.call(CLONE, _CLONE_VM | _SIGCHLD, 0, 0, 0, 0)
        program.jump_if_not_zero(after)
        session.serve(files[number] if number < len(files) else "")
        program.mark(after)


class _Session:
    """The code of one session, and its variables. ``app`` is the number of its app, None for any."""

    def __init__(self, program: Assembler, port: Value, apps: Sequence[Value], app: int | None) -> None:
        self._program = program
        self._port = port
        self._apps = range(len(apps))
        self._monitor = Monitor(program, port, apps, app)
        self._frame = Frame(program, frames.MAX_CONTENT)
        self._file, self._input, self._size, self._monitor_process = (program.variable() for _ in range(4))

    def serve(self, file: str) -> None:
        """Handle frames of the host until the end of the machine; ``file`` is what the first START runs."""
        program, frame = self._program, self._frame
        for variable in (self._file, self._input, self._monitor.terminal):
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
            frames.START: lambda: self._start(is_terminal=False),
            frames.START_TERMINAL: lambda: self._start(is_terminal=True),
            frames.INPUT: lambda: write_all(program, self._input, frame.content, frame.size),
            frames.END_OF_INPUT: self._end_input,
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
        """Read this many bytes. A port that the host has not opened yet has none, but has not ended."""
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
        program.call(NANOSLEEP, program.data(MILLISECOND), 0)
        program.jump(again)
        program.mark(done)

    def _close(self, descriptor: Value) -> None:
        self._program.call(CLOSE, descriptor)
        self._program.set(descriptor, -1)

    def _end_input(self) -> None:
        """Close the input, and hang up the terminal, if there is one."""
        program, inner = self._program, self._program.variable()
        self._close(self._input)
        flags = _O_RDWR | _O_NOCTTY | _O_CLOEXEC
        program.call(IOCTL, self._monitor.terminal, _TIOCGPTPEER, flags, result=inner)
        program.call(IOCTL, inner, _TIOCVHANGUP)
        program.call(CLOSE, inner)

    def _add_content(self) -> None:
        program, exists = self._program, self._program.label("exists")
        program.compare(self._file, -1)
        program.jump_if_not_zero(exists)
        program.call(MEMFD_CREATE, program.text("program"), 1, result=self._file)
        program.mark(exists)
        write_all(program, self._file, self._frame.content, self._frame.size)

    def _send_signal(self) -> None:
        program, nothing = self._program, self._program.label("nothing")
        program.compare(self._monitor.child, 0)
        program.jump_if_zero(nothing)
        program.call(KILL, self._monitor.child, self._frame.number)
        program.mark(nothing)

    def _resize(self) -> None:
        self._program.set(self._size, self._frame.number)
        self._program.call(IOCTL, self._monitor.terminal, _TIOCSWINSZ, address_of(self._size))

    def _answer_query(self) -> None:
        """Send the settings of the terminal, and how the program handles signals."""
        program = self._program
        answer = Frame(program, frames.TERMINAL_BYTES + _MAX_STATE)
        path, number, descriptor = program.variable(24), program.variable(), program.variable()
        program.call(IOCTL, self._monitor.terminal, _TCGETS, address_of(answer.content))
        program.set(path, int.from_bytes(b"/proc/", "little"))
        program.set(number, self._monitor.child)
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

    def _start(self, *, is_terminal: bool) -> None:
        """Run the program in the file, with new pipes, and a terminal if requested."""
        program, monitor, process = self._program, self._monitor, self._monitor_process
        server = program.label("server")
        self._close(self._input)
        self._close(monitor.terminal)
        program.call(WAIT4, process, 0, 0, 0)
        program.set(monitor.chosen_app, self._frame.number)
        program.set(monitor.file, self._file)
        for pair in monitor.pairs:
            program.call(PIPE2, address_of(pair), _O_CLOEXEC)
        if is_terminal:
            self._open_terminal()
        program.call(CLONE, _CLONE_VM | _SIGCHLD, 0, 0, 0, 0)
        program.jump_if_not_zero(server)
        monitor.watch(is_terminal=is_terminal)
        program.mark(server)
        program.store_result(process)
        program.set(self._input, writer(monitor.pairs[0]))
        program.call(CLOSE, reader(monitor.pairs[0]))
        for pair in monitor.pairs[1:]:
            program.call(CLOSE, reader(pair))
            program.call(CLOSE, writer(pair))
        self._close(self._file)

    def _open_terminal(self) -> None:
        program, terminal = self._program, self._monitor.terminal
        for app in self._apps:
            other, path = program.label("other"), program.text(f"{terminals_of(app)}/ptmx")
            program.compare(self._monitor.chosen_app, app)
            program.jump_if_not_zero(other)
            program.call(OPEN, path, _O_RDWR | _O_NOCTTY | _O_CLOEXEC, result=terminal)
            program.mark(other)
        program.call(IOCTL, terminal, _TIOCSPTLCK, program.data(bytes(4)))
        program.call(IOCTL, terminal, _TIOCSWINSZ, address_of(self._size))
