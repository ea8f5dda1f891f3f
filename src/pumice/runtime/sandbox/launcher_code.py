"""The instructions of `launcher`, by the machine as uname(2) names it."""

from __future__ import annotations

import _struct as struct  # see `syscalls`

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Code = Callable[[Sequence[int], int, int, int], bytes]

MACHINES = {"x86_64": 62, "aarch64": 183}
"""e_machine of ELF files."""
_F_SETFD, _FD_CLOEXEC = 2, 1


_SYSTEM_CALL_X86_64 = b"\x0f\x05"


def _make_x86_64(descriptors: Sequence[int], status_fd: int, path: int, table: int) -> bytes:
    """Return the code; ``path`` and ``table`` are addresses, of 16 bytes for each error in the table."""
    failure = _report_failure_x86_64(status_fd, table)
    code = b"".join(
        (
            b"\xb8\x3b\x00\x00\x00",  # mov eax, SYS_execve
            b"\x48\xbf" + struct.pack("<Q", path),  # mov rdi, path
            b"\x48\x8d\x74\x24\x08",  # lea rsi, [rsp + 8]
            b"\x4a\x8d\x54\xe4\x10",  # lea rdx, [rsp + 8 * r12 + 16]
            _SYSTEM_CALL_X86_64,
        )
    )
    for descriptor in reversed(descriptors):
        close = b"".join(
            (
                b"\xb8\x48\x00\x00\x00",  # mov eax, SYS_fcntl
                b"\xbf" + struct.pack("<i", descriptor),  # mov edi, descriptor
                b"\xbe" + struct.pack("<i", _F_SETFD),  # mov esi, F_SETFD
                b"\xba" + struct.pack("<i", _FD_CLOEXEC),  # mov edx, FD_CLOEXEC
                _SYSTEM_CALL_X86_64,
                b"\x48\x85\xc0",  # test rax, rax
                b"\x0f\x88" + struct.pack("<i", len(code)),  # js failure
            )
        )
        code = close + code
    return b"\x4c\x8b\x24\x24" + code + failure  # mov r12, [rsp]: argc


def _report_failure_x86_64(status_fd: int, table: int) -> bytes:
    """Return the code that writes the reason of the error in ``rax``, and ends the process."""
    return b"".join(
        (
            b"\x48\xf7\xd8",  # neg rax
            b"\x48\xc1\xe0\x04",  # shl rax, 4
            b"\x48\xbb" + struct.pack("<Q", table),  # mov rbx, table
            b"\x48\x01\xc3",  # add rbx, rax
            b"\xb8\x01\x00\x00\x00",  # mov eax, SYS_write
            b"\xbf" + struct.pack("<i", status_fd),  # mov edi, status_fd
            b"\x48\x8b\x33",  # mov rsi, [rbx]
            b"\x8b\x53\x08",  # mov edx, [rbx + 8]
            _SYSTEM_CALL_X86_64,
            b"\x8b\x7b\x0c",  # mov edi, [rbx + 12]
            b"\xb8\xe7\x00\x00\x00",  # mov eax, SYS_exit_group
            _SYSTEM_CALL_X86_64,
        )
    )


def _make_aarch64(descriptors: Sequence[int], status_fd: int, path: int, table: int) -> bytes:
    """Return the code, as `_make_x86_64` does."""
    system_call = 0xD4000001
    sp, zero = 31, 31
    failure = [
        0xCB000000 | zero << 5,  # neg x0, x0
        0xD3400000 | 60 << 16 | 59 << 10,  # lsl x0, x0, 4
        *_move(20, table),
        0x8B000000 | 20 << 5 | 20,  # add x20, x20, x0
        *_move(8, 64),  # SYS_write
        *_move(0, max(status_fd, 0)),
        0xF9400000 | 20 << 5 | 1,  # ldr x1, [x20]
        0xB9400000 | 2 << 10 | 20 << 5 | 2,  # ldr w2, [x20, 8]
        system_call,
        0xB9400000 | 3 << 10 | 20 << 5,  # ldr w0, [x20, 12]
        *_move(8, 94),  # SYS_exit_group
        system_call,
    ]
    code = [
        *_move(0, path),
        0x91000000 | 8 << 10 | sp << 5 | 1,  # add x1, sp, 8
        0x8B206C00 | 19 << 16 | sp << 5 | 2,  # add x2, sp, x19, uxtx 3
        0x91000000 | 16 << 10 | 2 << 5 | 2,  # add x2, x2, 16
        *_move(8, 221),  # SYS_execve
        system_call,
    ]
    for descriptor in reversed(descriptors):
        distance = len(code) + 1
        close = [
            *_move(8, 25),  # SYS_fcntl
            *_move(0, descriptor),
            *_move(1, _F_SETFD),
            *_move(2, _FD_CLOEXEC),
            system_call,
            0xB7000000 | 31 << 19 | distance << 5,  # tbnz x0, 63, failure
        ]
        code = close + code
    words = [0xF9400000 | sp << 5 | 19, *code, *failure]  # ldr x19, [sp]: argc
    return struct.pack(f"<{len(words)}I", *words)


def _move(register: int, number: int) -> list[int]:
    """Return the instructions that set a register to a number of at most 32 bits: movz, movk."""
    low, high = number & 0xFFFF, number >> 16
    return [0xD2800000 | low << 5 | register, 0xF2A00000 | high << 5 | register]


CODE: dict[str, Code] = {"x86_64": _make_x86_64, "aarch64": _make_aarch64}
