"""The program in a virtual machine that asks a server for a health check.

The image need not have a program for that. This one reads a `pods.supervisor.machine_check.SERVER`,
connects, sends the rest of its input, and writes the answer. Its exit code is 0, or the errno of what failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.runtime.guest.machine_code import Assembler, Value, address_of
from pumice.runtime.guest.session_parts import write_all
from pumice.runtime.guest.system_calls import CLOSE_RANGE, CONNECT, EXIT, READ, SOCKET
from pumice.runtime.pods.supervisor.machine_check import SERVER
from pumice.runtime.sandbox.guest_frames import MAX_CONTENT

if TYPE_CHECKING:
    from pumice.runtime.guest.machine_code import Operand

_STDIN, _STDOUT, _FIRST_OTHER = 0, 1, 3
_SOCK_STREAM = 1


def assemble_connection() -> bytes:
    """Return the program as an ELF file."""
    program = Assembler()
    server, result, connection = program.variable(SERVER.size), program.variable(), program.variable()
    failed, ended = map(program.label, ("failed", "ended"))
    family, size, reads_answer = (Value(server.offset + 8 * index) for index in range(3))
    program.call(CLOSE_RANGE, _FIRST_OTHER, 0xFFFFFFFF, 0)  # the first one says that the program runs
    # The host sends it in one frame, and no pipe splits so few bytes.
    program.call(READ, _STDIN, address_of(server), SERVER.size, result=result)
    program.jump_if_negative(failed)
    program.call(SOCKET, family, _SOCK_STREAM, 0, result=result)
    program.jump_if_negative(failed)
    program.set(connection, result)
    program.call(CONNECT, connection, address_of(server, 24), size, result=result)
    program.jump_if_negative(failed)
    program.compare(reads_answer, 0)
    program.jump_if_zero(ended)
    _copy(program, _STDIN, connection, result)
    _copy(program, connection, _STDOUT, result)
    program.jump_if_negative(failed)
    program.mark(ended)
    program.call(EXIT, 0)
    program.mark(failed)
    code = program.variable()
    program.subtract(code, result)
    program.call(EXIT, code)
    return program.finish()


def _copy(program: Assembler, source: Operand, target: Operand, count: Value) -> None:
    """Copy until the end or a failure, which the next jump tests."""
    buffer = program.variable(MAX_CONTENT)
    again, done = map(program.label, ("again", "done"))
    program.mark(again)
    program.call(READ, source, address_of(buffer), MAX_CONTENT, result=count)
    program.jump_if_negative(done)
    program.jump_if_zero(done)
    write_all(program, target, buffer, count)
    program.jump(again)
    program.mark(done)
