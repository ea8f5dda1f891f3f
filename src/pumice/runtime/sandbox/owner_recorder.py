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
import socket
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
_RECEIVE, _SEND, _IS_VALID = 0xC0502100, 0xC0182101, 0x40082102
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
    receiver, sender = socket.socketpair()
    child = os.fork()
    if child == 0:
        # The filter counts for this process, and only that one can serve it.
        socket.send_fds(sender, [b"x"], [syscalls.install_notifying_filter(program)])
        execute()
    sender.close()
    _, (listener,), _, _ = socket.recv_fds(receiver, 1, 1)
    receiver.close()
    process = os.pidfd_open(child)
    poll = select.poll()
    for descriptor in (listener, process):
        poll.register(descriptor, select.POLLIN)
    while True:  # the listener also hangs up, at the end of the last process that has the filter
        readable = {descriptor for descriptor, event in poll.poll() if event & select.POLLIN}
        if listener in readable:
            _answer(listener, log, CHANGE_OWNER[machine])
        elif process in readable:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            return code if code >= 0 else 128 - code


def _answer(listener: int, log: int, names: dict[int, str]) -> None:
    """Record the change of an owner that a process waits for, and let it go on."""
    buffer = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
        number, pid, _, call, _, _, *arguments = _NOTIFICATION.unpack(buffer)
        try:
            change = _describe_change(pid, names[call], arguments)
            fcntl.ioctl(listener, _IS_VALID, struct.pack("=Q", number))  # else another process has its number
            os.write(log, change)
            error = 0
        except OSError as failure:
            error = failure.errno or errno.EIO
        fcntl.ioctl(listener, _SEND, _ANSWER.pack(number, 0, -error, 0))
    except OSError:  # the process was killed meanwhile
        pass


def _describe_change(pid: int, call: str, arguments: list[int]) -> bytes:
    """Return the record of the change that a process waits for."""
    directory, path, follows = f"/proc/{pid}/cwd", "", True
    if call == "fchown":
        target, owner = f"/proc/{pid}/fd/{arguments[0] & 0xFFFFFFFF}", arguments[1:3]
    elif call == "fchownat":
        if arguments[0] & 0xFFFFFFFF != _AT_FDCWD:
            directory = f"/proc/{pid}/fd/{arguments[0] & 0xFFFFFFFF}"
        path = _read_path(pid, arguments[1])
        if not path and not arguments[4] & _AT_EMPTY_PATH:
            raise FileNotFoundError(errno.ENOENT, "")
        follows = not arguments[4] & _AT_SYMLINK_NOFOLLOW
        target, owner = os.path.join(directory, path) if path else directory, arguments[2:4]
    else:
        path = _read_path(pid, arguments[0])
        target, owner, follows = os.path.join(directory, path), arguments[1:3], call == "chown"
    flags = os.O_PATH | (0 if follows else os.O_NOFOLLOW)
    descriptor = os.open(target, flags)
    try:
        inode = os.fstat(descriptor).st_ino
        name = os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    uid, gid = (number & 0xFFFFFFFF for number in owner)
    return os.fsencode(f"{inode} {uid} {gid} {name}\0")


def _read_path(pid: int, address: int) -> str:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        data = memory.read(_MAX_PATH)
    return os.fsdecode(data.partition(b"\0")[0])
