"""The first program of the virtual machine: it prepares the machine, and starts its sessions.

It is process 1 and has no C library. Each app is process 1 of a PID namespace, so that all its processes end
with it. See `sessions`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pumice.runtime.guest.machine_code import Assembler
from pumice.runtime.guest.session_parts import RESERVED, TERMINALS, terminals_of
from pumice.runtime.guest.sessions import fork_sessions
from pumice.runtime.guest.system_calls import (
    CLOSE,
    DUP2,
    FINIT_MODULE,
    IOCTL,
    MKDIR,
    MOUNT,
    OPEN,
    RT_SIGACTION,
    SETHOSTNAME,
    SOCKET,
    WAIT4,
)
from pumice.runtime.sandbox.syscalls import MS_NOEXEC, MS_NOSUID

if TYPE_CHECKING:
    from pumice.runtime.guest.model import Guest

_O_RDONLY = 0
_SIGPIPE, _SIG_IGN = 13, 1
_MOUNTS = {"/dev": ("devtmpfs", 0, ""), "/proc": ("proc", 0, "")}
_TERMINALS = ("devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
DIRECTORIES = (*(path[1:] for path in _MOUNTS), TERMINALS[1:])
"""What the archive must have for the first program."""
_ADDRESS, _NETMASK, _GATEWAY = bytes([10, 0, 2, 15]), bytes([255, 255, 255, 0]), bytes([10, 0, 2, 2])
NAME_SERVER = "10.0.2.3"
"""The name server of qemu's user network."""


def assemble_init(guest: Guest, files: tuple[str, ...]) -> bytes:
    """Return the program as an ELF file; ``files`` are the programs of the apps in the archive."""
    program = Assembler()
    terminals = [terminals_of(number) for number in range(len(files))]
    for path in terminals:
        program.call(MKDIR, program.text(path), 0o755)
    for path, (kind, flags, data) in {**_MOUNTS, **dict.fromkeys(terminals, _TERMINALS)}.items():
        program.call(
            *(MOUNT, program.text(kind), program.text(path), program.text(kind), flags, program.text(data))
        )
    _reserve_descriptors(program)
    for number in range(guest.modules):
        descriptor = program.variable()
        module = program.text(f"/modules/{number}.ko")
        program.call(OPEN, module, _O_RDONLY, result=descriptor)
        program.call(FINIT_MODULE, descriptor, program.text(""), 0)
        program.call(CLOSE, descriptor)
    hostname = guest.container.hostname.encode()
    program.call(SETHOSTNAME, program.data(hostname), len(hostname))
    _configure_network(program, has_network=guest.has_network)
    ignored = program.data(struct.pack("<QQQQ", _SIG_IGN, 0, 0, 0))
    program.call(RT_SIGACTION, _SIGPIPE, ignored, 0, 8)
    fork_sessions(program, files)
    again = program.label("again")
    program.mark(again)
    program.call(WAIT4, -1, 0, 0, 0)
    program.jump(again)
    return program.finish()


def _reserve_descriptors(program: Assembler) -> None:
    """Let no descriptor of a session be one of those that its programs get."""
    directory = program.variable()
    program.call(OPEN, program.text("/"), _O_RDONLY, result=directory)
    for number in range(RESERVED):
        program.call(DUP2, directory, number)


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
