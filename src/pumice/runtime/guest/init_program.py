"""The first program of the virtual machine: it starts the program of the image, and copies its streams.

It is process 1 and has no C library. The program is process 1 of a PID namespace, so that all its processes
end with it. Frames on the port ``status`` say how it ended, see `pumice.runtime.sandbox.guest_status`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pumice.runtime.guest import program_start
from pumice.runtime.guest.machine_code import Assembler, Value, address_of
from pumice.runtime.guest.system_calls import (
    CLONE,
    CLOSE,
    EXIT,
    FCHOWN,
    FINIT_MODULE,
    FORK,
    IOCTL,
    KILL,
    MOUNT,
    NANOSLEEP,
    OPEN,
    PAUSE,
    PIPE2,
    READ,
    SETHOSTNAME,
    SOCKET,
    WAIT4,
    WRITE,
)
from pumice.runtime.launch.machine import PORTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.runtime.guest.model import Guest

_O_RDWR, _O_RDONLY, _O_CLOEXEC = 2, 0, 0o2000000
_CLONE_NEWPID, _CLONE_NEWCGROUP, _SIGCHLD = 0x20000000, 0x2000000, 17
_BUFFER = 1 << 16
_POLL = struct.pack("<QQ", 0, 1_000_000)
_MAX_POLLS = 30_000
_ADDRESS, _NETMASK, _GATEWAY = bytes([10, 0, 2, 15]), bytes([255, 255, 255, 0]), bytes([10, 0, 2, 2])
NAME_SERVER = "10.0.2.3"
"""The name server of qemu's user network."""


def assemble_init(guest: Guest) -> bytes:
    """Return the program as an ELF file."""
    program = Assembler()
    frame = program.variable(24)
    program.call(MOUNT, program.text("dev"), program.text("/dev"), program.text("devtmpfs"), 0, 0)
    for number in range(guest.modules):
        descriptor = program.variable()
        path = program.text(f"/modules/{number}.ko")
        program.call(OPEN, path, _O_RDONLY, result=descriptor)
        program.call(FINIT_MODULE, descriptor, program.text(""), 0)
        program.call(CLOSE, descriptor)
    hostname = guest.container.hostname.encode()
    program.call(SETHOSTNAME, program.data(hostname), len(hostname))
    _configure_network(program, has_network=guest.has_network)
    ports = {name: _open_port(program, number) for number, name in enumerate(PORTS, 1)}
    pipes = [_create_pipe(program, guest.container.process.uid) for _ in range(3)]
    child = program.variable()
    flags = _CLONE_NEWPID | _CLONE_NEWCGROUP | _SIGCHLD
    program.call(CLONE, flags, 0, 0, 0, 0, result=child)
    program.jump_if_not_zero("parent")
    streams = (pipes[0][0], pipes[1][1], pipes[2][1])
    program_start.start_program(program, guest, streams, ports["status"], frame)
    program.mark("parent")
    status = _fork_pumps(program, ports, pipes, child, frame)
    _finish(program, ports["status"], frame, status)
    return program.finish()


def _open_port(program: Assembler, number: int) -> Value:
    """Open a serial port; it appears a moment after its driver was loaded, and works later."""
    descriptor, tries, retry, opened = program.variable(), program.variable(), *map(program.label, "ad")
    path, pause = program.text(f"/dev/vport0p{number}"), program.data(_POLL)
    program.set(tries, _MAX_POLLS)
    program.mark(retry)
    program.call(OPEN, path, _O_RDWR | _O_CLOEXEC, result=descriptor)
    miss = program.label("miss")
    program.jump_if_negative(miss)
    program.jump(opened)
    program.mark(miss)
    program.call(NANOSLEEP, pause, 0)
    program.subtract(tries, 1)
    program.jump_if_not_zero(retry)
    program.mark(opened)
    return descriptor


def _create_pipe(program: Assembler, uid: int) -> tuple[Value, Value]:
    """Create a pipe that the user of the program can open by its name."""
    pair = program.variable()
    reader, writer = Value(pair.offset, narrow=True), Value(pair.offset + 4, narrow=True)
    program.call(PIPE2, address_of(pair), _O_CLOEXEC)
    for end in (reader, writer):
        program.call(FCHOWN, end, uid, -1)
    return reader, writer


def _fork_pumps(
    program: Assembler, ports: dict[str, Value], pipes: list[tuple[Value, Value]], child: Value, frame: Value
) -> Value:
    """Fork processes that copy streams and forward signals; wait for the program, and return its status."""
    (in_reader, in_writer), (out_reader, out_writer), (err_reader, err_writer) = pipes
    for descriptor in (in_reader, out_writer, err_writer):
        program.call(CLOSE, descriptor)
    _fork_pump(program, ports["stdin"], in_writer, lambda _: None)
    program.call(CLOSE, in_writer)
    waiting = [child]
    for kind, reader, port in (("O", out_reader, "stdout"), ("E", err_reader, "stderr")):

        def report(total: Value, kind: str = kind) -> None:
            _report(program, ports["status"], frame, kind, total)

        waiting.append(_fork_pump(program, reader, ports[port], report))
    after = program.label("after")
    program.call(FORK)
    program.jump_if_not_zero(after)
    _forward_signals(program, ports["control"], child)
    program.mark(after)
    return _wait_for_all(program, waiting)


def _fork_pump(program: Assembler, source: Value, target: Value, report: Callable[[Value], None]) -> Value:
    """Fork a process that copies until the end of ``source``, and return its id.

    ``report`` adds the code that uses the number of copied bytes at the end.
    """
    process, after = program.variable(), program.label("after")
    program.call(FORK, result=process)
    program.jump_if_not_zero(after)
    buffer = program.variable(_BUFFER)
    remaining, position, count, total = (program.variable() for _ in range(4))
    read, write, end = program.label("read"), program.label("write"), program.label("end")
    program.mark(read)
    program.call(READ, source, address_of(buffer), _BUFFER, result=remaining)
    program.jump_if_negative(end)
    program.jump_if_zero(end)
    program.set(position, address_of(buffer))
    program.mark(write)
    program.call(WRITE, target, position, remaining, result=count)
    program.jump_if_negative(end)
    program.add(position, count)
    program.add(total, count)
    program.subtract(remaining, count)
    program.jump_if_not_zero(write)
    program.jump(read)
    program.mark(end)
    report(total)
    program.call(EXIT, 0)
    program.mark(after)
    return process


def _report(program: Assembler, port: Value, frame: Value, kind: str, number: Value) -> None:
    """Write a frame."""
    program.set(frame, ord(kind))
    program.set(Value(frame.offset + 8), number)
    program.call(WRITE, port, address_of(frame), 24)


def _forward_signals(program: Assembler, port: Value, child: Value) -> None:
    """Send the child each signal whose number arrives, until the machine ends."""
    number, again, end = program.variable(), program.label("again"), program.label("end")
    program.mark(again)
    program.call(READ, port, address_of(number), 1)
    program.jump_if_negative(end)
    program.jump_if_zero(end)
    program.call(KILL, child, number)
    program.jump(again)
    program.mark(end)
    program.call(EXIT, 0)


def _wait_for_all(program: Assembler, processes: list[Value]) -> Value:
    """Reap processes until all of ``processes`` have ended; return the status of the first."""
    process, status, first_status = (program.variable() for _ in range(3))
    again = program.label("again")
    program.mark(again)
    program.call(WAIT4, -1, address_of(status), 0, 0, result=process)
    for index, value in enumerate(processes):
        other = program.label("other")
        same = program.label("same")
        program.compare(process, value)
        program.jump_if_zero(same)
        program.jump(other)
        program.mark(same)
        if index == 0:
            program.set(first_status, status)
        program.set(value, 0)
        program.mark(other)
    for value in processes:
        program.compare(value, 0)
        program.jump_if_not_zero(again)
    return first_status


def _finish(program: Assembler, port: Value, frame: Value, status: Value) -> None:
    """Report the status of the program, and wait for the end of the machine."""
    _report(program, port, frame, "S", status)
    again = program.label("again")
    program.mark(again)
    program.call(PAUSE)
    program.jump(again)


def _configure_network(program: Assembler, *, has_network: bool) -> None:
    """Bring up loopback, and the network device with the address that qemu expects."""
    descriptor = program.variable()
    program.call(SOCKET, 2, 2, 0, result=descriptor)
    program.call(IOCTL, descriptor, 0x8914, program.data(struct.pack("<16sH22x", b"lo", 1)))
    if not has_network:
        return
    for request, address in ((0x8916, _ADDRESS), (0x891C, _NETMASK)):
        field = struct.pack("<16s16s8x", b"eth0", _socket_address(address))
        program.call(IOCTL, descriptor, request, program.data(field))
    program.call(IOCTL, descriptor, 0x8914, program.data(struct.pack("<16sH22x", b"eth0", 1)))
    nothing = _socket_address(bytes(4))
    route = struct.pack("<8x16s16s16sH62x", nothing, _socket_address(_GATEWAY), nothing, 3)
    program.call(IOCTL, descriptor, 0x890B, program.data(route))


def _socket_address(address: bytes) -> bytes:
    return struct.pack("<HH4s8x", 2, 0, address)
