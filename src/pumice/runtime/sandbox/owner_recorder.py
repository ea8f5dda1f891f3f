"""Recording the owners that a program gives to files, where there is only one user id.

A filter of system calls lets changes of ids succeed without effect, and hands changes of owners to a process
outside of the filter (seccomp_unotify(2)), which records them and answers that they succeeded. What a
program says about its own files is the only thing that it can influence here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct

from pumice.runtime.sandbox import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

CHANGE_OWNER = {
    "x86_64": {92: "chown", 93: "fchown", 94: "lchown", 260: "fchownat"},
    "aarch64": {54: "fchownat", 55: "fchown"},
    "riscv64": {54: "fchownat", 55: "fchown"},
}
"""The numbers of the system calls that change owners, by machine."""
_CHANGE_IDS = {
    "x86_64": (105, 106, 113, 114, 116, 117, 119, 122, 123),
    "aarch64": (143, 144, 145, 146, 147, 149, 151, 152, 159),
    "riscv64": (143, 144, 145, 146, 147, 149, 151, 152, 159),
}
_AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
# linux/bpf_common.h, linux/seccomp.h
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _SUCCEED, _NOTIFY = 0x7FFF0000, 0x00050000, 0x7FC00000
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=Qqii")
_AT_FDCWD, _AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = 0xFFFFFF9C, 0x100, 0x1000
_MAX_PATH = 4096


def make_filter(machine: str) -> bytes:
    """Return the filter of system calls for a machine, in classic BPF."""
    rules = [
        *((number, _NOTIFY) for number in CHANGE_OWNER[machine]),
        *((number, _SUCCEED) for number in _CHANGE_IDS[machine]),
    ]
    instructions = [
        (_LOAD, 0, 0, 4),
        (_JUMP_EQUAL, 1, 0, _AUDIT_ARCHITECTURE[machine]),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, 0),
    ]
    for number, action in rules:
        instructions += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, action)]
    instructions.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def run_recorded(log: int, execute: Callable[[], NoReturn]) -> int:
    """Execute a program in a child under the filter, and return its exit code.

    A line ``INODE UID GID PATH`` is written to ``log`` for each change; an id of 4294967295 is unchanged,
    and the path is followed by a NUL.
    """
    machine = os.uname().machine
    program = make_filter(machine)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # The filter counts for this process, so the other one takes its descriptor from here.
        listener = syscalls.install_notifying_filter(program)
        os.write(writer, b"%d" % listener)
        os.close(writer)
        while not os.get_inheritable(reader):  # until the other process has taken it
            os.read(reader, 1)
            break
        execute()
    os.close(writer)
    number = os.read(reader, 20)
    os.close(reader)
    process = os.pidfd_open(child)
    listener = syscalls.take_descriptor(process, int(number))
    return _serve(listener, process, child, log, machine)
