"""Naming the system calls that a filter refuses (``--explain``).

The filter that is installed notifies a process outside of it of each call that would be refused
(seccomp_unotify(2)). That process runs the original filter, says which call it was, and lets it fail: with
the error that the filter has, or with ENOSYS instead of ending the program. No refused call is executed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.descriptors import close_others, write_all

_INSTRUCTION = struct.Struct("=HBBI")
_DATA = struct.Struct("=iIQ6Q")
_NOTIFICATION = struct.Struct("=QII64s")
_ANSWER = struct.Struct("=Qqii")
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
# linux/seccomp.h
_NOTIFY, _ERRNO, _ACTION, _VALUE = 0x7FC00000, 0x00050000, 0xFFFF0000, 0xFFFF
_ALLOWED = (0x7FFF0000, 0x7FFC0000)
# linux/bpf_common.h
_LOAD, _JUMP, _AND, _RETURN = 0x20, 0x05, 0x54, 0x06
_JUMP_EQUAL, _JUMP_GREATER, _JUMP_NOT_LESS, _JUMP_SET = 0x15, 0x25, 0x35, 0x45
_MAX_FILTER = 1 << 16


def start_reporter(filter_descriptor: int) -> int:
    """Start the process that answers, and return the socket on which it takes notifications."""
    program = os.pread(filter_descriptor, _MAX_FILTER, 0)
    receiver, sender = socket.socketpair()
    names = _read_names()
    if os.fork() == 0:
        try:
            syscalls.end_with_parent()
            close_others({2, receiver.fileno()})
            _serve(receiver, program, names)
        finally:
            os._exit(0)
    receiver.close()
    return sender.detach()


def install_filter(program: bytes, channel: int) -> None:
    """Install a filter that notifies the process with the other end of ``channel`` of refused calls."""
    listener = syscalls.install_notifying_filter(make_notifying(program))
    with socket.socket(fileno=os.dup(channel)) as connection:
        socket.send_fds(connection, [b"x"], [listener])
    os.close(listener)


def make_notifying(program: bytes) -> bytes:
    """Return a filter that notifies where ``program`` refuses."""
    return b"".join(
        _INSTRUCTION.pack(code, true, false, _NOTIFY)
        if code == _RETURN and value & _ACTION not in _ALLOWED
        else _INSTRUCTION.pack(code, true, false, value)
        for code, true, false, value in _INSTRUCTION.iter_unpack(program)
    )


def run_filter(program: bytes, data: bytes) -> int:
    """Return the action that a filter has for a ``struct seccomp_data`` (classic BPF); raises ValueError."""
    instructions = list(_INSTRUCTION.iter_unpack(program))
    position = accumulator = 0
    while position < len(instructions):
        code, true, false, value = instructions[position]
        position += 1
        if code == _RETURN:
            return int(value)
        if code == _LOAD:
            accumulator = int.from_bytes(data[value : value + 4], "little")
        elif code == _AND:
            accumulator &= value
        elif code == _JUMP:
            position += value
        else:
            is_true = {
                _JUMP_EQUAL: accumulator == value,
                _JUMP_GREATER: accumulator > value,
                _JUMP_NOT_LESS: accumulator >= value,
                _JUMP_SET: bool(accumulator & value),
            }.get(code)
            if is_true is None:
                raise ValueError(f"unknown instruction {code:#x}")
            position += true if is_true else false
    raise ValueError("the filter has no end")


def _read_names() -> dict[int, str]:
    """Return the names of the system calls of this machine by their numbers."""
    column = 1 if os.uname().machine == "x86_64" else 2
    path = os.path.join(os.path.dirname(os.path.dirname(__file__)), "isolation/data/system-calls.tsv")
    names = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            fields = line.rstrip("\n").split("\t")
            if not line.startswith("#") and fields[column] != "-":
                names[int(fields[column])] = fields[0]
    return names


def _serve(channel: socket.socket, program: bytes, names: dict[int, str]) -> None:
    """Answer notifications until no process has the filter any more."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    open_descriptors = {channel.fileno()}
    reported: set[tuple[int, int]] = set()
    while open_descriptors:
        for descriptor, event in poll.poll():
            if descriptor == channel.fileno():
                _, listeners, _, _ = socket.recv_fds(channel, 1, 1)
                for listener in listeners:
                    poll.register(listener, select.POLLIN)
                    open_descriptors.add(listener)
                has_ended = not listeners
            else:
                has_ended = not event & select.POLLIN
                if not has_ended:
                    _answer(descriptor, program, names, reported)
            if has_ended:
                poll.unregister(descriptor)
                open_descriptors.remove(descriptor)


def _answer(listener: int, program: bytes, names: dict[int, str], reported: set[tuple[int, int]]) -> None:
    buffer = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
        identifier, _, _, data = _NOTIFICATION.unpack(buffer)
        action = run_filter(program, data)
        is_error = action & _ACTION == _ERRNO
        error = action & _VALUE if is_error else errno.ENOSYS
        number = _DATA.unpack(data)[0]
        if (number, action) not in reported:
            reported.add((number, action))
            name = names.get(number, f"number {number}")
            effect = (
                f"fails with {errno.errorcode.get(error, error)}" if is_error else "would end the program"
            )
            write_all(2, f"note: the seccomp profile refuses the system call {name}: it {effect}\n".encode())
        fcntl.ioctl(listener, _SEND, _ANSWER.pack(identifier, 0, -error, 0))
    except OSError:  # the process was killed meanwhile
        pass
