"""The filter of system calls (seccomp(2))."""

from __future__ import annotations

import errno
import struct

from pumice.runtime.sandbox.syscalls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
)

DENIED_CLONE_FLAGS = (
    CLONE_NEWNS,
    CLONE_NEWCGROUP,
    CLONE_NEWUTS,
    CLONE_NEWIPC,
    CLONE_NEWUSER,
    CLONE_NEWPID,
    CLONE_NEWNET,
)
DENIED_IOCTLS = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX, which insert input into the terminal as if the user had typed it."""

# Calls that no contained program needs: name, number on x86_64, number in asm-generic (arm64, riscv64).
_DENIED_SYSCALLS = """
acct 163 89, add_key 248 217, bpf 321 280, chroot 161 51, clock_adjtime 305 266, clock_settime 227 112,
create_module 174 -, delete_module 176 106, fanotify_init 300 262, finit_module 313 273, fsconfig 431 431,
fsmount 432 432, fsopen 430 430, fspick 433 433, get_kernel_syms 177 -, init_module 175 105,
io_uring_enter 426 426, io_uring_register 427 427, io_uring_setup 425 425, ioperm 173 -, iopl 172 -,
kcmp 312 272, kexec_file_load 320 294, kexec_load 246 104, keyctl 250 219, lookup_dcookie 212 18,
mount 165 40, mount_setattr 442 442, move_mount 429 429, nfsservctl 180 42, open_by_handle_at 304 265,
open_tree 428 428, perf_event_open 298 241, pidfd_getfd 438 438, pivot_root 155 41, process_madvise 440 440,
process_vm_readv 310 270, process_vm_writev 311 271, ptrace 101 117, query_module 178 -, quotactl 179 60,
quotactl_fd 443 443, reboot 169 142, request_key 249 218, setdomainname 171 162, sethostname 170 161,
setns 308 268, settimeofday 164 170, swapoff 168 225, swapon 167 224, syslog 103 116, umount2 166 39,
unshare 272 97, uselib 134 -, userfaultfd 323 282, vhangup 153 58, _sysctl 156 -
"""
FIRST_UNKNOWN = 467
"""The number from which system calls fail with ENOSYS, as on an older kernel."""
_CLONE3 = 435
# machine: (AUDIT_ARCH, column of _DENIED_SYSCALLS, clone, ioctl)
_MACHINES = {
    "x86_64": (0xC000003E, 0, 56, 16),
    "aarch64": (0xC00000B7, 1, 220, 29),
    "riscv64": (0xC00000F3, 1, 220, 29),
}


def list_denied_syscalls() -> dict[str, tuple[int | None, int | None]]:
    """Return the denied system calls: name to number on x86_64 and in asm-generic, None where it lacks."""
    rows = (row.split() for row in _DENIED_SYSCALLS.replace("\n", " ").split(","))
    return {name: (_number(x86_64), _number(generic)) for name, x86_64, generic in rows}


def _number(column: str) -> int | None:
    return None if column == "-" else int(column)


def make_filter(machine: str) -> bytes:
    """Return the filter for ``machine`` as classic BPF over struct seccomp_data (linux/seccomp.h).

    Empty for a machine whose system call numbers are unknown.
    """
    if machine not in _MACHINES:
        return b""
    architecture, column, clone, ioctl = _MACHINES[machine]
    load, equal, at_least, any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, unknown = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
    numbers = [row[column] for row in list_denied_syscalls().values()]
    code = [
        (load, 0, 0, 4),  # the architecture, because 32-bit system calls have other numbers
        (equal, 1, 0, architecture),
        (answer, 0, 0, unknown),
        (load, 0, 0, 0),  # the number of the system call
        (at_least, 0, 1, FIRST_UNKNOWN),  # which also covers x32
        (answer, 0, 0, unknown),
        (equal, 0, 1, _CLONE3),  # a filter cannot read its flags; libc falls back to clone
        (answer, 0, 0, unknown),
    ]
    for number in sorted(number for number in numbers if number is not None):
        code += [(equal, 0, 1, number), (answer, 0, 0, refuse)]
    code += [(equal, 0, 4, clone), (load, 0, 0, 16), (any_bit, 0, 1, sum(DENIED_CLONE_FLAGS))]
    code += [(answer, 0, 0, refuse), (answer, 0, 0, allow)]
    code += [(equal, 0, 4, ioctl), (load, 0, 0, 24)]
    code += [(equal, 1, 0, DENIED_IOCTLS[0]), (equal, 0, 1, DENIED_IOCTLS[1]), (answer, 0, 0, refuse)]
    code += [(answer, 0, 0, allow)]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)
