"""Process 1 of a pod: it reaps orphans, and all processes of the pod end with it.

Apps that share process ids can see it, and may have its user. So it has an empty root, no capability that it
could use, and only the system calls that it needs.
"""

from __future__ import annotations

import _struct as struct  # see `syscalls`
import os

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

KILL = 5  # linux/capability.h
_SYS_PTRACE = 19
# linux/audit.h, asm/unistd.h: wait4, rt_sigtimedwait, rt_sigreturn, restart_syscall, exit_group, and those by
# which the interpreter gets memory and locks: brk, mmap, munmap, mremap, madvise, futex
_CALLS = {
    "x86_64": (0xC000003E, (61, 128, 15, 219, 231, 12, 9, 11, 25, 28, 202)),
    "aarch64": (0xC00000B7, (260, 137, 139, 128, 94, 214, 222, 215, 216, 233, 98)),
    "riscv64": (0xC00000F3, (260, 137, 139, 128, 94, 214, 222, 215, 216, 233, 98)),
}
# linux/filter.h, linux/seccomp.h
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ARCHITECTURE_OFFSET, _NUMBER_OFFSET = 4, 0
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050001  # with EPERM


def reap_orphans() -> NoReturn:
    """Give up what this does not need, and reap every process of the pod whose parent has ended."""
    drop_other_capabilities()
    syscalls.forbid_new_privileges()
    if program := make_filter(os.uname().machine):
        syscalls.install_seccomp_filter(program)
    while True:
        signal.sigwaitinfo({signal.SIGCHLD})
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


def drop_other_capabilities(*numbers: int) -> None:
    """Keep only the capabilities ``numbers`` of a process that apps can see, and CAP_SYS_PTRACE.

    The kernel lets a process trace another one of its user only if it has all capabilities of that. So the
    apps, which do not have this one, cannot trace it.
    """
    syscalls.set_capabilities((*numbers, _SYS_PTRACE))


def make_filter(machine: str) -> bytes:
    """Return the filter of system calls for process 1, in classic BPF; empty for an unknown machine."""
    if machine not in _CALLS:
        return b""
    architecture, numbers = _CALLS[machine]
    instructions = [
        (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        (_JUMP_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
        *((_JUMP_IF_EQUAL, len(numbers) - index, 0, number) for index, number in enumerate(numbers)),
        (_RETURN, 0, 0, _FAIL),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
