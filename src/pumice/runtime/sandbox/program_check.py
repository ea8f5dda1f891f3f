"""Why a file cannot be executed: its format, its loader or interpreter, its architecture, its line ends."""

from __future__ import annotations

import _struct as struct  # see `syscalls`

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = 4096
"""How many bytes at the start of a file tell what it is."""
_MACHINES = {
    3: "i386",
    8: "mips",
    20: "ppc",
    21: "ppc64le",
    22: "s390x",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    243: "riscv64",
    258: "loongarch64",
}
"""e_machine of an ELF file, and the machine as uname(2) names it."""
_PT_INTERP = 3


def explain_failure(head: bytes, machine: str, exists: Callable[[str], bool]) -> str:
    """Return why ``machine`` cannot execute a file that starts with ``head``, ``""`` if nothing is wrong.

    ``exists`` tells whether a path exists in the image.
    """
    if head.startswith(b"#!"):
        return _explain_script(head, exists)
    if head.startswith(b"\x7fELF"):
        try:
            return _explain_elf(head, machine, exists)
        except (struct.error, IndexError, UnicodeDecodeError):  # type: ignore[attr-defined]  # typeshed lacks it
            return "it is a damaged ELF file"
    if not head:
        return "it is empty"
    return "it is neither an ELF program nor a script that starts with #!"


def _explain_script(head: bytes, exists: Callable[[str], bool]) -> str:
    line = head[2:].partition(b"\n")[0]
    words = [word for word in line.replace(b"\t", b" ").split(b" ") if word]
    interpreter = words[0].decode(errors="replace").rstrip("\r") if words else ""
    if not interpreter:
        return "its first line #! names no interpreter"
    if words[0].endswith(b"\r"):  # the kernel takes it as part of the name
        return "its lines end with CRLF; convert it with dos2unix"
    if exists(interpreter):
        return ""
    return f"its interpreter {interpreter[:200]} is not in the image"


def read_machine(head: bytes) -> str:
    """Return the machine that an ELF file is for."""
    (number,) = struct.unpack_from(">H" if head[5:6] == b"\2" else "<H", head.ljust(20, b"\0"), 18)
    return _MACHINES.get(number, f"machine {number}")


def _explain_elf(head: bytes, machine: str, exists: Callable[[str], bool]) -> str:
    order = ">" if head[5] == 2 else "<"
    wide = head[4] == 2
    file_machine = read_machine(head)
    if file_machine != machine:
        return f"it is a program for {file_machine}, and this machine is {machine}"
    loader = _read_loader(head, order, wide)
    if loader and not exists(loader):
        return f"its loader {loader[:200]} is not in the image"
    return ""


def _read_loader(head: bytes, order: str, wide: bool) -> str:
    """Return what the program header PT_INTERP names, ``""`` for a static program."""
    (table,) = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", head, 32 if wide else 28)
    entry_size, count = struct.unpack_from(f"{order}HH", head, 54 if wide else 42)
    for index in range(min(count, 64)):
        position = table + index * entry_size
        (kind,) = struct.unpack_from(f"{order}I", head, position)
        if kind != _PT_INTERP:
            continue
        field = f"{order}{'Q' if wide else 'I'}"
        (start,) = struct.unpack_from(field, head, position + (8 if wide else 4))
        (size,) = struct.unpack_from(field, head, position + (32 if wide else 16))
        return head[start : start + min(size, HEAD)].rstrip(b"\0").decode()
    return ""
