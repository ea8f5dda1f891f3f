"""The programs that enter a container in the virtual machine, and execute the program of the image.

`assemble_app` makes the container; `assemble_joined` is for another program in it. `sessions` starts both,
with descriptors of its own. What they know is part of them, so the machine reads no arguments.
"""

from __future__ import annotations

import os
import resource
import stat
import struct
from typing import TYPE_CHECKING

import msgspec

from pumice.runtime.guest.machine_code import Assembler, Operand, Value, address_of
from pumice.runtime.guest.session_parts import (
    CONTAINER,
    PORT,
    TERMINAL,
    report_failure,
    store_decimal,
    terminals_of,
)
from pumice.runtime.guest.system_calls import (
    CAPSET,
    CHDIR,
    CHROOT,
    CLOSE,
    CLOSE_RANGE,
    DUP2,
    EXECVE,
    EXIT,
    FCHOWN,
    IOCTL,
    MKDIR,
    MKNOD,
    MOUNT,
    MOVE_MOUNT,
    OPEN,
    OPEN_TREE,
    PRCTL,
    RT_SIGACTION,
    SETGROUPS,
    SETNS,
    SETRESGID,
    SETRESUID,
    SETRLIMIT,
    SETSID,
    SYMLINK,
    UMASK,
    WRITE,
)
from pumice.runtime.isolation import capabilities
from pumice.runtime.launch.machine import tag_of
from pumice.runtime.sandbox import guest_frames as frames
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
    from pumice.runtime.sandbox.options import Options

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
_O_WRONLY, _O_RDWR = 1, 2
_PR_SET_KEEPCAPS, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _PR_CAP_AMBIENT = 8, 24, 38, 22, 47
_CLOSE_ON_EXEC, _SIGPIPE = 4, 13
_CLONE_NEWNS, _CLONE_NEWCGROUP = 0x20000, 0x2000000
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH, _AT_FDCWD = 0o2000001, 4, -100
_TIOCGPTN, _TIOCSCTTY = 0x80045430, 0x540E


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """The program of the image, and its restrictions as numbers.

    ``terminal`` are the streams that are its terminal; ``filter`` is that of system calls, empty for none.
    ``capabilities`` are those of root and the highest ones of others, which get ``ambient``.
    """

    arguments: tuple[str, ...]
    environment: dict[str, str]
    directory: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    rlimits: tuple[tuple[int, int, int], ...]
    capabilities: tuple[int, ...]
    ambient: tuple[int, ...]
    forbids_new_privileges: bool
    filter: bytes
    terminal: tuple[int, ...] = ()


def describe_program(container: Container, program_filter: bytes, terminal: tuple[int, ...]) -> Program:
    """Return the program of a container."""
    process, isolation, numbers = container.process, container.isolation, capabilities.NUMBERS
    return Program(
        arguments=process.arguments,
        environment=process.environment,
        directory=process.directory,
        uid=process.uid,
        gid=process.gid,
        groups=process.groups,
        rlimits=tuple(
            (getattr(resource, f"RLIMIT_{limit.name.upper()}"), limit.soft, limit.hard)
            for limit in isolation.rlimits
        ),
        capabilities=tuple(numbers[name] for name in isolation.capabilities),
        ambient=tuple(numbers[name] for name in isolation.added_capabilities),
        forbids_new_privileges=isolation.no_new_privileges,
        filter=program_filter,
        terminal=terminal,
    )


def describe_joined(options: Options, program_filter: bytes, terminal: tuple[int, ...]) -> Program:
    """Return another program for a container, as options of the built-in sandbox describe it."""
    return Program(
        arguments=tuple(options.argv),
        environment=options.env,
        directory=options.cwd,
        uid=options.uid,
        gid=options.gid,
        groups=tuple(options.groups),
        rlimits=tuple(options.rlimits),
        capabilities=tuple(options.capabilities),
        ambient=tuple(options.ambient),
        forbids_new_privileges=not options.new_privileges,
        filter=program_filter,
        terminal=terminal,
    )


def assemble_app(guest: Guest, terminal: tuple[int, ...]) -> bytes:
    """Return the program that makes the container of a machine, as an ELF file."""
    container, start = guest.container, _Start()
    _begin(start)
    if guest.is_shared:
        start.require(MOUNT, start.text(tag_of(guest.number)), start.text(ROOT), start.text("virtiofs"), 0, 0)
    terminals = start.program.variable()
    start.require(OPEN_TREE, _AT_FDCWD, start.text(terminals_of(guest.number)), _OPEN_TREE_CLONE)
    start.program.set(terminals, start.result)
    _change_root(start)
    _mount_kernel_files(start, container, terminals)
    _mount_volumes(start, guest)
    program = describe_program(container, guest.filter, terminal)
    _install_streams(start, program)
    if terminal:
        _mount_console(start)
    read_only = MS_RDONLY if container.read_only and not guest.is_shared else 0
    flags = MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | read_only
    start.require(MOUNT, 0, start.text("/"), 0, flags, 0)
    _drop_privileges(start, program)
    _execute(start, program)
    return start.program.finish()


def assemble_joined(program: Program) -> bytes:
    """Return the program that enters a container, as an ELF file."""
    start = _Start()
    _begin(start)
    start.require(SETNS, CONTAINER, _CLONE_NEWNS | _CLONE_NEWCGROUP)
    _install_streams(start, program)
    _drop_privileges(start, program)
    _execute(start, program)
    return start.program.finish()


class _Start:
    """The program, with the report of a step that fails."""

    def __init__(self) -> None:
        self.program = Assembler()
        self.result = self.program.variable()

    def text(self, content: str) -> Operand:
        return self.program.text(content)

    def require(self, number: int, *arguments: Operand) -> None:
        """Make a call; if it fails, report its number and error, and end."""
        program, good, bad = self.program, self.program.label("good"), self.program.label("bad")
        program.call(number, *arguments, result=self.result)
        program.jump_if_negative(bad)
        program.jump(good)
        program.mark(bad)
        self.report(frames.FAILED, number)
        program.mark(good)

    def report(self, kind: int, number: int) -> None:
        """Send a frame with a number and the last result, and end this process."""
        report_failure(self.program, PORT, kind, number, self.result)
        self.program.call(EXIT, 127)

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


def _begin(start: _Start) -> None:
    """Let the program of the image inherit its streams only, and no signal that is ignored."""
    program = start.program
    program.call(CLOSE_RANGE, 3, 0xFFFFFFFF, _CLOSE_ON_EXEC)
    program.call(RT_SIGACTION, _SIGPIPE, program.data(bytes(32)), 0, 8)
    program.call(SETSID)
    program.call(UMASK, 0o022)


def _install_streams(start: _Start, chosen: Program) -> None:
    """Open the terminal, if there is one, and give all streams to the user of the program."""
    program, stream = start.program, start.program.variable()
    if chosen.terminal:
        path, number = program.variable(24), program.variable()
        start.require(IOCTL, TERMINAL, _TIOCGPTN, address_of(number))
        program.set(path, int.from_bytes(b"/dev/pts", "little"))
        program.set(Value(path.offset + 8), ord("/"))
        store_decimal(program, number, Value(path.offset + 9))
        start.require(OPEN, address_of(path), _O_RDWR)
        program.set(stream, start.result)
        start.require(IOCTL, stream, _TIOCSCTTY, 0)
        for descriptor in chosen.terminal:
            program.call(DUP2, stream, descriptor)
        program.call(CLOSE, stream)
    for descriptor in (0, 1, 2):
        program.call(FCHOWN, descriptor, chosen.uid, -1)


def _mount_console(start: _Start) -> None:
    """Make the terminal of the program, which is the first of the app, its console."""
    program, console = start.program, start.text("/dev/console")
    program.call(MKNOD, console, stat.S_IFREG | 0o600, 0)
    program.call(MOUNT, start.text("/dev/pts/0"), console, 0, MS_BIND, 0)


def _change_root(start: _Start) -> None:
    """Make the root of the image the root, from which no link leads out."""
    image, here = start.text(ROOT), start.text(".")
    start.require(MOUNT, image, image, 0, MS_BIND | MS_REC, 0)
    start.require(CHDIR, image)
    start.require(MOUNT, here, start.text("/"), 0, _MS_MOVE, 0)
    start.require(CHROOT, here)
    start.require(CHDIR, start.text("/"))


def _mount_kernel_files(start: _Start, container: Container, terminals: Value) -> None:
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
    place = (_AT_FDCWD, start.text("/dev/pts"), _MOVE_MOUNT_F_EMPTY_PATH)
    start.require(MOVE_MOUNT, terminals, start.text(""), *place)
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


def _drop_privileges(start: _Start, chosen: Program) -> None:
    program = start.program
    for number, soft, hard in chosen.rlimits:
        values = struct.pack("<QQ", soft % (1 << 64), hard % (1 << 64))
        program.call(SETRLIMIT, number, program.data(values))
    groups = struct.pack(f"<{len(chosen.groups)}I", *chosen.groups)
    start.require(SETGROUPS, len(chosen.groups), program.data(groups))
    start.require(SETRESGID, chosen.gid, chosen.gid, chosen.gid)
    for number in capabilities.NUMBERS.values():
        if number not in chosen.capabilities:
            program.call(PRCTL, _PR_CAPBSET_DROP, number, 0, 0, 0)
    program.call(PRCTL, _PR_SET_KEEPCAPS, 1, 0, 0, 0)
    start.require(SETRESUID, chosen.uid, chosen.uid, chosen.uid)
    if chosen.uid:
        _set_capabilities(start, chosen.ambient, chosen.ambient)
    else:
        _set_capabilities(start, chosen.capabilities, ())
    start.require(CHDIR, start.text(chosen.directory))
    if chosen.forbids_new_privileges:
        start.require(PRCTL, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if chosen.filter:
        header = struct.pack("<HxxxxxxQ", len(chosen.filter) // 8, 0)
        address = program.data_with_pointer(header, 8, program.data(chosen.filter))
        start.require(PRCTL, _PR_SET_SECCOMP, 2, address, 0, 0)


def _set_capabilities(start: _Start, numbers: tuple[int, ...], ambient: tuple[int, ...]) -> None:
    program = start.program
    mask, kept = (sum(1 << number for number in chosen) for chosen in (numbers, ambient))
    words = [mask, mask, kept]
    low, high = [word & 0xFFFFFFFF for word in words], [word >> 32 for word in words]
    start.require(
        CAPSET, program.data(struct.pack("<II", 0x20080522, 0)), program.data(struct.pack("<6I", *low, *high))
    )
    for number in ambient:
        program.call(PRCTL, _PR_CAP_AMBIENT, 2, number, 0, 0)


def _execute(start: _Start, chosen: Program) -> None:
    """Execute the program, which is searched in the directories of its PATH."""
    program, name = start.program, chosen.arguments[0]
    arguments = program.pointers([program.text(word) for word in chosen.arguments])
    variables = [program.text(f"{key}={value}") for key, value in chosen.environment.items()]
    environment = program.pointers(variables)
    directories = chosen.environment.get("PATH", DEFAULT_PATH).split(":") if "/" not in name else [""]
    for directory in directories:
        path = program.text(f"{directory}/{name}" if directory else name)
        program.call(EXECVE, path, arguments, environment, result=start.result)
    start.report(frames.NOT_EXECUTED, EXECVE)
