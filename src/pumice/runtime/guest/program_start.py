"""How the virtual machine confines the program of the image and executes it."""

from __future__ import annotations

import os
import resource
import stat
import struct
from typing import TYPE_CHECKING

from pumice.runtime.guest.machine_code import Assembler, Operand, Value, address_of
from pumice.runtime.guest.sharing import TAG
from pumice.runtime.guest.system_calls import (
    CAPSET,
    CHDIR,
    CHROOT,
    CLOSE,
    CLOSE_RANGE,
    DUP2,
    EXECVE,
    EXIT,
    MKDIR,
    MKNOD,
    MOUNT,
    OPEN,
    PRCTL,
    SETGROUPS,
    SETRESGID,
    SETRESUID,
    SETRLIMIT,
    SETSID,
    SYMLINK,
    UMASK,
    WRITE,
)
from pumice.runtime.isolation import capabilities
from pumice.runtime.sandbox.masked_paths import MASKED_PATHS, READ_ONLY_PATHS, select_paths
from pumice.runtime.sandbox.options import DEFAULT_PATH
from pumice.runtime.sandbox.syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
)

if TYPE_CHECKING:
    from pumice.runtime.container import Container
    from pumice.runtime.guest.model import Guest
    from pumice.runtime.isolation.model import Isolation

ROOT = "/image"
"""Where the root of the image is in the initramfs."""
_MS_MOVE = 0x2000
_STRICT = MS_NOSUID | MS_NODEV | MS_NOEXEC
_DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
_O_WRONLY = 1
_PR_SET_KEEPCAPS, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _PR_CAP_AMBIENT = 8, 24, 38, 22, 47
_CLOSE_ON_EXEC = 4


def start_program(
    program: Assembler, guest: Guest, streams: tuple[Value, Value, Value], port: Value, frame: Value
) -> None:
    """Confine this process to the image and execute the program; a failure is reported on ``port``."""
    start = _Start(program, port, frame)
    program.call(SETSID)
    program.call(UMASK, 0o022)
    if guest.is_shared:
        start.require(MOUNT, start.text(TAG), start.text(ROOT), start.text("virtiofs"), 0, 0)
    _change_root(start)
    _mount_kernel_files(start, guest.container)
    _mount_volumes(start, guest)
    read_only = MS_RDONLY if guest.container.read_only and not guest.is_shared else 0
    flags = MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | read_only
    start.require(MOUNT, 0, start.text("/"), 0, flags, 0)
    for number, stream in enumerate(streams):
        program.call(DUP2, stream, number)
    program.call(CLOSE_RANGE, 3, 0xFFFFFFFF, _CLOSE_ON_EXEC)
    _drop_privileges(start, guest)
    _execute(start, guest.container)


class _Start:
    """The program, with the report of a step that fails."""

    def __init__(self, program: Assembler, port: Value, frame: Value) -> None:
        self.program = program
        self._port = port
        self._frame = frame
        self.result = program.variable()

    def text(self, content: str) -> Operand:
        return self.program.text(content)

    def require(self, number: int, *arguments: Operand) -> None:
        """Make a call; if it fails, report its number and error, and end."""
        program, good, bad = self.program, self.program.label("good"), self.program.label("bad")
        program.call(number, *arguments, result=self.result)
        program.jump_if_negative(bad)
        program.jump(good)
        program.mark(bad)
        self.report("F", number)
        program.mark(good)

    def report(self, kind: str, number: int) -> None:
        """Write a frame with a number and the last result, and end this process."""
        program, frame = self.program, self._frame
        program.set(frame, ord(kind))
        program.set(Value(frame.offset + 8), number)
        program.set(Value(frame.offset + 16), self.result)
        program.call(WRITE, self._port, address_of(frame), 24)
        program.call(EXIT, 127)

    def mount(self, kind: str, path: str, flags: int, data: str = "") -> None:
        """Mount a file system."""
        words = (self.text(kind), self.text(path), self.text(kind), flags)
        self.program.call(MOUNT, *words, self.text(data))

    def write_file(self, path: str, content: str) -> None:
        """Write to a file of the kernel; ignore failures."""
        descriptor, data = self.program.variable(), content.encode()
        self.program.call(OPEN, self.program.text(path), _O_WRONLY, result=descriptor)
        self.program.call(WRITE, descriptor, self.program.data(data), len(data))
        self.program.call(CLOSE, descriptor)


def _change_root(start: _Start) -> None:
    """Make the root of the image the root, from which no link leads out."""
    image, here = start.text(ROOT), start.text(".")
    start.require(MOUNT, image, image, 0, MS_BIND | MS_REC, 0)
    start.require(CHDIR, image)
    start.require(MOUNT, here, start.text("/"), 0, _MS_MOVE, 0)
    start.require(CHROOT, here)
    start.require(CHDIR, start.text("/"))


def _mount_kernel_files(start: _Start, container: Container) -> None:
    program, isolation = start.program, container.isolation
    start.mount("proc", "/proc", _STRICT)
    start.mount("sysfs", "/sys", _STRICT | MS_RDONLY)
    start.mount("tmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=0755")
    program.call(UMASK, 0)
    for name, (major, minor) in _DEVICES.items():
        path = program.text(f"/dev/{name}")
        program.call(MKNOD, path, stat.S_IFCHR | 0o666, os.makedev(major, minor))
    program.call(UMASK, 0o022)
    for name, target in _LINKS.items():
        program.call(SYMLINK, program.text(target), program.text(f"/dev/{name}"))
    for name in ("pts", "shm"):
        program.call(MKDIR, program.text(f"/dev/{name}"), 0o755)
    start.mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    size = f",size={isolation.shm_size}" if isolation.shm_size else ""
    start.mount("tmpfs", "/dev/shm", _STRICT, f"mode=1777{size}")
    start.write_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")
    for name, value in isolation.sysctls:
        start.write_file(f"/proc/sys/{name.replace('.', '/')}", value)
    if isolation.oom_score is not None:
        start.write_file("/proc/self/oom_score_adj", str(isolation.oom_score))
    _mask_paths(start, isolation)


def _mask_paths(start: _Start, isolation: Isolation) -> None:
    program, null = start.program, start.program.text("/dev/null")
    for path in select_paths(MASKED_PATHS, isolation.unmasked):
        # One of both fails: a file cannot be mounted on a directory, nor a directory on a file.
        program.call(MOUNT, null, program.text(path), 0, MS_BIND, 0)
        start.mount("tmpfs", path, _STRICT | MS_RDONLY, "size=0k")
    for path in select_paths(READ_ONLY_PATHS, isolation.unmasked):
        _bind_read_only(program, path)


def _bind_read_only(program: Assembler, path: str) -> None:
    address = program.text(path)
    program.call(MOUNT, address, address, 0, MS_BIND | MS_REC, 0)
    program.call(MOUNT, 0, address, 0, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, 0)


def _mount_volumes(start: _Start, guest: Guest) -> None:
    """Mount file systems in memory, and make the copies of read-only volumes read-only."""
    for path in guest.read_only_paths:
        _bind_read_only(start.program, path)
    directories = (("/tmp", "1777"), ("/var/tmp", "1777"), ("/run", "0755"))
    for path, mode in directories if guest.container.read_only and not guest.is_shared else ():
        start.mount("tmpfs", path, MS_NOSUID | MS_NODEV, f"mode={mode}")
    for mount in guest.container.mounts:
        if not mount.source:
            flags = MS_NOSUID | MS_NODEV | (MS_NOEXEC if mount.no_exec else 0)
            start.mount("tmpfs", mount.target, flags, mount.tmpfs_options)


def _drop_privileges(start: _Start, guest: Guest) -> None:
    program, process, isolation = start.program, guest.container.process, guest.container.isolation
    for limit in isolation.rlimits:
        number = getattr(resource, f"RLIMIT_{limit.name.upper()}")
        values = struct.pack("<QQ", limit.soft % (1 << 64), limit.hard % (1 << 64))
        program.call(SETRLIMIT, number, program.data(values))
    groups = struct.pack(f"<{len(process.groups)}I", *process.groups)
    start.require(SETGROUPS, len(process.groups), program.data(groups))
    start.require(SETRESGID, process.gid, process.gid, process.gid)
    kept = [capabilities.NUMBERS[name] for name in isolation.capabilities]
    for number in capabilities.NUMBERS.values():
        if number not in kept:
            program.call(PRCTL, _PR_CAPBSET_DROP, number, 0, 0, 0)
    program.call(PRCTL, _PR_SET_KEEPCAPS, 1, 0, 0, 0)
    start.require(SETRESUID, process.uid, process.uid, process.uid)
    added = [capabilities.NUMBERS[name] for name in isolation.added_capabilities]
    _set_capabilities(start, kept if process.uid == 0 else added, added if process.uid else [])
    start.require(CHDIR, start.text(process.directory))
    if isolation.no_new_privileges:
        start.require(PRCTL, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if guest.filter:
        header = struct.pack("<HxxxxxxQ", len(guest.filter) // 8, 0)
        address = program.data_with_pointer(header, 8, program.data(guest.filter))
        start.require(PRCTL, _PR_SET_SECCOMP, 2, address, 0, 0)


def _set_capabilities(start: _Start, numbers: list[int], ambient: list[int]) -> None:
    program = start.program
    mask, kept = (sum(1 << number for number in chosen) for chosen in (numbers, ambient))
    words = [mask, mask, kept]
    low, high = [word & 0xFFFFFFFF for word in words], [word >> 32 for word in words]
    start.require(
        CAPSET, program.data(struct.pack("<II", 0x20080522, 0)), program.data(struct.pack("<6I", *low, *high))
    )
    for number in ambient:
        program.call(PRCTL, _PR_CAP_AMBIENT, 2, number, 0, 0)


def _execute(start: _Start, container: Container) -> None:
    """Execute the program, which is searched in the directories of its PATH."""
    program, process = start.program, container.process
    name = process.arguments[0]
    arguments = program.pointers([program.text(word) for word in process.arguments])
    variables = [program.text(f"{name}={value}") for name, value in process.environment.items()]
    environment = program.pointers(variables)
    directories = process.environment.get("PATH", DEFAULT_PATH).split(":") if "/" not in name else [""]
    for directory in directories:
        path = program.text(f"{directory}/{name}" if directory else name)
        program.call(EXECVE, path, arguments, environment, result=start.result)
    start.report("X", EXECVE)
