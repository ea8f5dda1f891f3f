"""What the programs of a virtual machine consist of: frames, copies of streams, and reports."""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pumice.runtime.guest.machine_code import Assembler, Value, address_of
from pumice.runtime.guest.system_calls import WRITE
from pumice.runtime.sandbox import guest_frames as frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.runtime.guest.machine_code import Operand

PROGRAM_FILE, PORT, EXECUTED, TERMINAL, CONTAINER = 3, 4, 5, 6, 7
"""The descriptors of the program of `program_start`: itself, where it reports a failure, a pipe that closes
when the program of the image is executed, the outer end of its terminal, and a process of its container."""
RESERVED = 16
"""No descriptor of the machine's first program is lower, so none is in the way of these."""
TERMINALS = "/pts"
"""Where the terminals of the containers are, for the first program: each app has a directory of its own."""
MILLISECOND = struct.pack("<QQ", 0, 1_000_000)
_POLLIN = 1


class Frame:
    """A buffer for a frame."""

    def __init__(self, program: Assembler, size: int) -> None:
        buffer = program.variable(frames.HEADER.size + size)
        self.start = buffer
        self.kind, self.size = Value(buffer.offset, narrow=True), Value(buffer.offset + 4, narrow=True)
        self.number = Value(buffer.offset + 8)
        self.content = Value(buffer.offset + frames.HEADER.size)


class Polled:
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


def terminals_of(app: int) -> str:
    """Return where the terminals of an app are, for the first program."""
    return f"{TERMINALS}/{app}"


def write_all(program: Assembler, target: Operand, source: Value, size: Operand) -> None:
    """Write so many bytes; drop them if that fails."""
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


def report_failure(program: Assembler, port: Operand, kind: int, number: int, result: Value) -> None:
    """Send a system call's number and its result."""
    frame = Frame(program, 16)
    program.set(frame.kind, kind)
    program.set(frame.size, 16)
    program.set(frame.content, number)
    program.set(Value(frame.content.offset + 8), result)
    program.call(WRITE, port, address_of(frame.start), frames.HEADER.size + 16)


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


def reader(pair: Value) -> Value:
    """Return the end of a pipe that is read."""
    return Value(pair.offset, narrow=True)


def writer(pair: Value) -> Value:
    """Return the end of a pipe that is written to."""
    return Value(pair.offset + 4, narrow=True)
