"""Run one program in namespaces of its own: a whole sandbox in one file of the standard library.

    python3 -I -S sandbox.py [OPTION VALUE…]… -- PROGRAM [ARGUMENT…]

It imports nothing from pumice, so that it can be copied anywhere and starts fast. What it isolates
and what it does not is described in ``docs/explanation/sandbox.md``; the options are those of
`Options`. Three processes take part: this one stays outside and passes signals in, process 1 of the
new namespaces builds the file system and then reaps orphans, and its child is the program.

Exit code: the program's own, 128+n when signal n ended it, 126 when it is not executable, 127 when
it does not exist, 125 when the sandbox could not be made (the reason goes to ``--status-fd``, else
to standard error).
"""

# pathlib would cost more than all the rest, and processes are started by hand here:
# ruff: noqa: PTH101, PTH102, PTH110, PTH112, PTH116, PTH119, PTH120, PTH123, PTH208, S606
from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import stat
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

NOT_MADE, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FORWARDED = frozenset(
    getattr(signal, f"SIG{name}") for name in ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH", "ALRM")
)

# linux/sched.h, linux/mount.h, linux/fcntl.h, linux/openat2.h, linux/prctl.h, linux/capability.h
_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000
NAMESPACES = (_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET)
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 0x20, 0x1000, 0x4000, 0x40000
_OPENAT2, _MOUNT_SETATTR = 437, 442  # the same number on every architecture
_IN_ROOT = 0x12  # RESOLVE_IN_ROOT and no magic links
CAPABILITIES = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7}
CAPABILITIES["NET_BIND_SERVICE"] = 10
"""All that root has inside."""

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = (
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
)
# The paths that runtime-spec engines hide or freeze by default.
MASKED = (
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats"),
    *("/sys/firmware", "/sys/fs/selinux", "/sys/devices/virtual/powercap"),
)
FROZEN = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

# What no contained program needs: name, number on x86_64, number in asm-generic (arm64, riscv64).
DENIED = """
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
_FIRST_UNKNOWN = 467  # calls newer than this list answer ENOSYS, as they would on an older kernel
_CLONE3 = 435
INJECTING = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: they type on the terminal in the name of whoever sits there."""
# machine: (AUDIT_ARCH, column of DENIED, clone, ioctl)
_MACHINES = {
    "x86_64": (0xC000003E, 1, 56, 16),
    "aarch64": (0xC00000B7, 2, 220, 29),
    "riscv64": (0xC00000F3, 2, 220, 29),
}


class Failure(Exception):  # noqa: N818 - it is the reason why there is no sandbox
    """The sandbox cannot be made: one sentence, and what a person can do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Options:
    """What the command line says. Every option may also come NUL-separated from ``--args FD``."""

    def __init__(self) -> None:
        self.root = ""  # --root DIR: never written to
        self.read_only = False  # --read-only
        self.copy = False  # --copy: copy the root into memory instead of laying an overlay over it
        self.only_root = False  # --only-root: start PROGRAM of this machine, with a writable root at DIR/root
        self.own_processes = False  # --own-processes: with --only-root, end what it starts when it ends
        self.network = "host"  # --network host|none
        self.hostname = "pumice"  # --hostname NAME
        self.uid = 0  # --uid N
        self.gid = 0  # --gid N
        self.groups: list[int] = []  # --group N …
        self.cwd = "/"  # --cwd DIR, made if it is not there
        self.env: dict[str, str] = {}  # --env NAME=VALUE …
        self.mounts: list[tuple[str, str, str]] = []  # --bind|--ro-bind SOURCE TARGET, --tmpfs TARGET …
        self.owners = ""  # --owners FILE: records of `uid gid mode path`, NUL between, applied to the root
        self.maps: dict[str, list[str]] = {"uid": [], "gid": []}  # --uid-map|--gid-map INSIDE:OUTSIDE:COUNT …
        self.map_helpers = False  # --map-helpers: let newuidmap and newgidmap write the maps
        self.die_with_parent = False  # --die-with-parent
        self.status_fd = 2  # --status-fd FD: where the reason of exit code 125 goes
        self.keep: list[int] = []  # --keep FD …: what --only-root's program inherits beside 0, 1 and 2
        self.argv: list[str] = []


def parse(arguments: Sequence[str]) -> Options:
    """Return the options in ``arguments``; raises Failure with the one that is wrong."""
    options = Options()
    left = list(reversed(arguments))
    try:
        while left and (option := left.pop()) != "--":
            if option == "--args":
                with open(int(left.pop()), encoding="utf-8", errors="surrogateescape") as file:
                    left += reversed(file.read().split("\0")[:-1])
            else:
                _take(options, option, left)
    except (IndexError, ValueError, OSError):
        raise Failure(f"the option {option} has no usable value") from None
    options.argv = list(reversed(left))
    if not options.root or not options.argv:
        raise Failure("a root and a program are needed", "sandbox.py --root DIR -- PROGRAM")
    return options


def _take(options: Options, option: str, left: list[str]) -> None:
    name = option.removeprefix("--").replace("-", "_")
    match name:
        case "read_only" | "copy" | "only_root" | "own_processes" | "map_helpers" | "die_with_parent":
            setattr(options, name, True)
        case "root" | "network" | "hostname" | "cwd" | "owners":
            setattr(options, name, left.pop())
        case "uid" | "gid" | "status_fd":
            setattr(options, name, int(left.pop()))
        case "group":
            options.groups.append(int(left.pop()))
        case "keep":
            options.keep.append(int(left.pop()))
        case "env":
            key, _, value = left.pop().partition("=")
            options.env[key] = value
        case "bind" | "ro_bind":
            options.mounts.append((name, left.pop(), left.pop()))
        case "tmpfs":
            options.mounts.append((name, "tmpfs", left.pop()))
        case "uid_map" | "gid_map":
            options.maps[name[:3]].append(left.pop().replace(":", " "))
        case _:
            raise Failure(f"there is no option {option}")


# The kernel's calls that the os module lacks ------------------------------------------------------

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _call(what: str, result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def _mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    fields = (os.fsencode(source), os.fsencode(target), kind.encode() if kind else None)
    _call(target, _libc.mount(*fields, ctypes.c_ulong(flags), data.encode()))


def _prctl(option: int, value: int = 0, pointer: object = None) -> int:
    return int(_libc.prctl(option, ctypes.c_ulong(value), pointer or ctypes.c_ulong(0), 0, 0))


def _set_capabilities(numbers: Sequence[int]) -> None:
    mask = sum(1 << number for number in numbers)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = struct.pack("6I", low, low, 0, high, high, 0)  # effective, permitted, inheritable; twice
    _call("capset", _libc.capset(struct.pack("Ii", 0x20080522, 0), data))


# The user namespace -------------------------------------------------------------------------------


def _unshare(options: Options, flags: int) -> None:
    """Enter a user namespace and those in ``flags``; a helper that stays outside writes the maps."""
    if not options.maps["uid"]:
        options.maps = _default_maps(options)
    ready, go = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(go)
        os.read(ready, 1)
        os._exit(_write_maps(options, os.getppid()))
    if _libc.unshare(_NEWUSER | flags) == -1:
        number = ctypes.get_errno()
        os.kill(helper, signal.SIGKILL)
        raise _no_namespaces(os.strerror(number))
    os.close(go)  # the end of the pipe is the word to begin
    _, status = os.waitpid(helper, 0)
    os.close(ready)
    if status:
        hint = "check /etc/subuid and /etc/subgid" if options.map_helpers else ""
        raise _no_namespaces("the map of user ids was refused", hint)


def _default_maps(options: Options) -> dict[str, list[str]]:
    if os.geteuid() != 0:
        return {"uid": [f"{options.uid} {os.geteuid()} 1"], "gid": [f"{options.gid} {os.getegid()} 1"]}
    maps = {}
    for kind in ("uid", "gid"):  # everything that is mapped here, onto itself
        with open(f"/proc/self/{kind}_map") as file:
            maps[kind] = [f"{first} {first} {count}" for first, _, count in map(str.split, file)]
    return maps


def _write_maps(options: Options, process: int) -> int:
    if options.map_helpers:
        for kind, extents in options.maps.items():
            words = " ".join(extents).split()
            if os.spawnvp(os.P_WAIT, f"new{kind}map", [f"new{kind}map", str(process), *words]):
                return 1
        return 0
    try:
        if os.geteuid() != 0:  # the kernel's condition for an ordinary user to map its own group
            _write(f"/proc/{process}/setgroups", "deny")
        for kind, extents in options.maps.items():
            _write(f"/proc/{process}/{kind}_map", "\n".join(extents))
    except OSError:
        return 1
    return 0


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


_SWITCHES = (
    ("/proc/sys/user/max_user_namespaces", "0"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
)


def _no_namespaces(reason: str, hint: str = "") -> Failure:
    for path, off in _SWITCHES:
        try:
            with open(path) as file:
                if file.read().strip() == off:
                    hint = f"{path} is {off}: ask the administrator to change it, or run as root with runc"
        except OSError:
            continue
    return Failure(f"this machine does not let the sandbox make a user namespace ({reason})", hint)


# The file system ----------------------------------------------------------------------------------


class _Root:
    """The new root. Paths are looked up inside it: no link leads out, whatever the image holds."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def open(self, path: str) -> int:
        """Return an O_PATH descriptor of what ``path`` means inside the root."""
        how = struct.pack("3Q", os.O_PATH | os.O_CLOEXEC, 0, _IN_ROOT)
        return _call(path, _libc.syscall(_OPENAT2, self.descriptor, os.fsencode(path), how, len(how)))

    def place(self, path: str, directory: bool) -> int:
        """Return a descriptor of ``path``, made with its parents if it is not there."""
        try:
            return self.open(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP):
                raise
            parent, _, name = path.rstrip("/").rpartition("/")
        above = self.place(parent or "/", directory=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=above)  # a link that leads nowhere, or in circles
        if directory:
            os.mkdir(name, 0o755, dir_fd=above)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=above))
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=above)
        os.close(above)
        return found

    def mount(self, source: str, path: str, kind: str | None, flags: int, data: str = "") -> None:
        """Mount on ``path``; a bind mount also gets ``flags``, with all that is mounted below it."""
        try:
            target = self.place(path, directory=kind is not None or os.path.isdir(source))
            _mount(source, f"/proc/self/fd/{target}", kind, flags if kind else _BIND | _REC, data)
            os.close(target)
            if not kind:
                self._restrict(path, flags)
        except OSError as error:
            raise Failure(f"cannot mount {kind or source} on {path} ({error.strerror})") from None

    def _restrict(self, path: str, flags: int) -> None:
        """Add ``flags`` (MS_RDONLY and its like, which equal MOUNT_ATTR_*) to the mounts at ``path``."""
        top = self.open(path)
        attributes = struct.pack("4Q", flags, 0, 0, 0)
        at_recursive_empty_path = 0x8000 | 0x1000
        result = _libc.syscall(_MOUNT_SETATTR, top, b"", at_recursive_empty_path, attributes, len(attributes))
        os.close(top)
        _call(f"mount_setattr {path}", result)


def _build(options: Options) -> None:
    """Make the new root with all that belongs in it, and leave the old one for good."""
    root = _writable_root(options)
    root.mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    root.mount("/sys", "/sys", None, _RDONLY | _NOSUID | _NODEV | _NOEXEC)
    _devices(root)
    _hide(root)
    if options.read_only:
        for path, mode in (("/tmp", "1777"), ("/var/tmp", "1777"), ("/run", "0755")):  # noqa: S108 - inside
            root.mount("tmpfs", path, "tmpfs", _NOSUID | _NODEV, f"mode={mode}")
    for kind, source, target in options.mounts:
        if kind == "tmpfs":
            root.mount("tmpfs", target, "tmpfs", _NOSUID | _NODEV, "mode=1777")
        else:
            root.mount(source, target, None, _NOSUID | _NODEV | (_RDONLY if kind == "ro_bind" else 0))
    os.close(root.place(options.cwd, directory=True))
    os.fchdir(root.descriptor)
    if options.read_only:
        _mount("none", ".", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    _call("pivot_root", _libc.pivot_root(b".", b"."))
    _call("umount2", _libc.umount2(b".", 2))  # MNT_DETACH: the old root, which now lies on top
    os.chdir("/")


def _writable_root(options: Options) -> _Root:
    """Return a root over the given one that keeps its changes in memory, so that nothing is left behind."""
    _call("unshare", _libc.unshare(_NEWNS))
    _mount("none", "/", None, _REC | _PRIVATE)
    try:
        lower = os.open(options.root, os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        raise Failure(f"the root {options.root} cannot be opened ({error.strerror})") from None
    _mount("tmpfs", options.root, "tmpfs", _NOSUID | _NODEV, "mode=0755")
    os.chdir(options.root)
    for name in ("upper", "work", "root"):
        os.mkdir(name, 0o755)
    status = os.stat(lower)
    os.chmod("upper", stat.S_IMODE(status.st_mode))
    if options.copy or not _overlaid(lower):
        _copied(lower, options)
    root = _Root(os.open("root", os.O_PATH | os.O_DIRECTORY))
    if options.owners:
        _own(root, options.owners)
    return root


def _overlaid(lower: int) -> bool:
    layers = f"userxattr,lowerdir=/proc/self/fd/{lower},upperdir=upper,workdir=work"
    try:
        _mount("overlay", "root", "overlay", _NOSUID | _NODEV, layers)
    except OSError:  # before Linux 5.11, or on file systems that it refuses
        return False
    return True


def _copied(lower: int, options: Options) -> None:
    command = ["cp", "-a", f"/proc/self/fd/{lower}/.", "root"]
    if options.maps["uid"][0].endswith(" 1"):
        command.insert(2, "--no-preserve=ownership")
    os.set_inheritable(lower, True)
    if os.spawnvp(os.P_WAIT, "cp", command):
        raise Failure("the root can be neither overlaid nor copied into memory")
    os.set_inheritable(lower, False)
    _mount("root", "root", None, _BIND | _REC)


def _own(root: _Root, records: str) -> None:
    """Give files the owners that could not be set when the root was unpacked."""
    with open(records, encoding="utf-8", errors="surrogateescape") as file:
        for record in file.read().split("\0")[:-1]:
            uid, gid, mode, path = record.split(" ", 3)
            above = root.open("/" + os.path.dirname(path))
            name = os.path.basename(path)
            os.chown(name, int(uid), int(gid), dir_fd=above, follow_symlinks=False)
            if not stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
                os.chmod(name, int(mode, 8), dir_fd=above)
            os.close(above)


def _devices(root: _Root) -> None:
    root.mount("tmpfs", "/dev", "tmpfs", _NOSUID | _NOEXEC, "mode=0755")
    for name in _DEVICES:
        root.mount(f"/dev/{name}", f"/dev/{name}", None, _NOSUID | _NOEXEC)
    above = root.open("/dev")
    for name, text in _DEVICE_LINKS:
        os.symlink(text, name, dir_fd=above)
    os.close(above)
    root.mount("tmpfs", "/dev/shm", "tmpfs", _NOSUID | _NODEV | _NOEXEC, "mode=1777")  # noqa: S108
    root.mount("devpts", "/dev/pts", "devpts", _NOSUID | _NOEXEC, "newinstance,ptmxmode=0666,mode=0620")


def _hide(root: _Root) -> None:
    for path in MASKED + FROZEN:
        try:
            found = root.open(path)
        except OSError:
            continue
        directory = stat.S_ISDIR(os.fstat(found).st_mode)
        os.close(found)
        if path in FROZEN:
            root.mount(f"/proc/self/fd/{root.open(path)}", path, None, _RDONLY)
        elif directory:
            root.mount("tmpfs", path, "tmpfs", _RDONLY | _NOSUID | _NODEV | _NOEXEC, "size=0k")
        else:
            root.mount("/dev/null", path, None, _NOSUID | _NOEXEC)


def _raise_loopback() -> None:
    import fcntl
    import socket

    with socket.socket() as probe:
        fcntl.ioctl(probe, 0x8914, struct.pack("16sH14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


# Giving up privileges -----------------------------------------------------------------------------


def _confine() -> None:
    for number in range(64):
        if (
            number not in CAPABILITIES.values() and _prctl(24, number) == -1
        ):  # PR_CAPBSET_DROP; EINVAL ends the list
            break
    _prctl(47, 4)  # PR_CAP_AMBIENT, clear all
    _call("no_new_privs", _libc.prctl(38, 1, 0, 0, 0))
    program = seccomp(os.uname().machine)
    if program:
        buffer = ctypes.create_string_buffer(program, len(program))
        header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
        _call("seccomp", _prctl(22, 2, header))  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def seccomp(machine: str) -> bytes:
    """Return the filter for ``machine`` as classic BPF over struct seccomp_data (linux/seccomp.h).

    Empty for a machine whose numbers are not known here.
    """
    if machine not in _MACHINES:
        return b""
    architecture, column, clone, ioctl = _MACHINES[machine]
    load, equal, at_least, any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, unknown = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
    words = (row.split() for row in DENIED.replace("\n", " ").split(","))
    numbers = sorted(int(row[column]) for row in words if row[column] != "-")
    code = [
        (load, 0, 0, 4),  # the architecture: a 32-bit call would have other numbers
        (equal, 1, 0, architecture),
        (answer, 0, 0, unknown),
        (load, 0, 0, 0),  # the number of the call
        (at_least, 0, 1, _FIRST_UNKNOWN),  # which also covers x32
        (answer, 0, 0, unknown),
        (equal, 0, 1, _CLONE3),  # its flags are out of sight; libc falls back to clone
        (answer, 0, 0, unknown),
    ]
    for number in numbers:
        code += [(equal, 0, 1, number), (answer, 0, 0, refuse)]
    code += [(equal, 0, 4, clone), (load, 0, 0, 16), (any_bit, 0, 1, sum(NAMESPACES)), (answer, 0, 0, refuse)]
    code += [(answer, 0, 0, allow), (equal, 0, 4, ioctl), (load, 0, 0, 24)]
    code += [(equal, 1, 0, INJECTING[0]), (equal, 0, 1, INJECTING[1]), (answer, 0, 0, refuse)]
    code += [(answer, 0, 0, allow)]
    return b"".join(struct.pack("HBBI", *line) for line in code)


# Processes ----------------------------------------------------------------------------------------


def attend(child: int, target: Callable[[], int] | None = None) -> int:
    """Wait for ``child``, reap every other one, pass signals on; return its exit code, or 128+signal.

    Signals go to ``child``, or to the process that ``target`` names. The caller has blocked FORWARDED
    and SIGCHLD. What a terminal sends is not passed on: it goes to the whole foreground group, so the
    child has it already.
    """
    watched = FORWARDED | {signal.SIGCHLD}
    while True:
        info = signal.sigwaitinfo(watched)
        if info.si_signo != signal.SIGCHLD:
            if info.si_code <= 0:  # sent by a process
                with contextlib.suppress(ProcessLookupError):
                    os.kill(target() if target else child, info.si_signo)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if pid == 0:
                break


def _first_process(options: Options) -> int:
    """Be process 1: build the place, start the program, then only reap and forward."""
    _prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nothing outlives the process outside
    _libc.sethostname(options.hostname.encode(), len(options.hostname.encode()))
    if options.network == "none":
        _raise_loopback()
    os.umask(0o022)
    _build(options)
    # From here on an import would find the image's files.
    sys.path[:] = []
    sys.meta_path[:] = []
    _confine()
    _prctl(4, 0)  # PR_SET_DUMPABLE: the program cannot look into this process
    child = os.fork()
    if child == 0:
        _become(options)
    _set_capabilities([CAPABILITIES["KILL"]])
    return attend(child)


def _only_root(options: Options) -> int:
    """Make the writable root, and start a program of this machine that knows how to use it."""
    _enter(options, _NEWPID if options.own_processes else 0)
    if not options.own_processes:
        _writable_root(options)
        _start_outside(options)
    child = os.fork()
    if child == 0:
        _prctl(1, signal.SIGKILL)
        _writable_root(options)
        _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
        child = os.fork()
        if child == 0:
            _start_outside(options)
        os._exit(attend(child))
    return attend(child)


def _start_outside(options: Options) -> NoReturn:
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor not in options.keep:
            with contextlib.suppress(OSError):  # the one that listed the others
                os.set_inheritable(descriptor, False)
    _release_signals()
    os.execvp(options.argv[0], options.argv)


def _release_signals() -> None:
    """Undo what Python and `attend` do to signals; what the caller ignores stays ignored, as for nohup."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _enter(options: Options, flags: int) -> None:
    """Enter the namespaces in ``flags``; root needs no user namespace for that."""
    if os.geteuid() != 0:
        _unshare(options, flags)
    elif flags:
        _call("unshare", _libc.unshare(flags))


def _become(options: Options) -> NoReturn:
    """Turn into the program, with its user, environment and default signal handling."""
    try:
        os.chdir(options.cwd)
        with open("/proc/self/setgroups") as file:
            if file.read().strip() != "deny":
                os.setgroups(options.groups)
        os.setresgid(options.gid, options.gid, options.gid)
        os.setresuid(options.uid, options.uid, options.uid)
        _set_capabilities(list(CAPABILITIES.values()) if options.uid == 0 else [])
    except OSError as error:
        _fail(options, Failure(f"cannot become user {options.uid}:{options.gid} in {options.cwd}: {error}"))
    _release_signals()
    os.set_inheritable(options.status_fd, options.status_fd <= 2)
    os.closerange(3, options.status_fd)
    os.closerange(max(3, options.status_fd + 1), os.sysconf("SC_OPEN_MAX"))
    code, message = _execute(options)
    _fail(options, Failure(f"{options.argv[0]}: {message}"), code)


def _execute(options: Options) -> tuple[int, str]:
    """Replace this process; return why that failed, as a shell would."""
    name = options.argv[0]
    directories = options.env.get("PATH", PATH).split(":") if "/" not in name else [""]
    code, message = NOT_FOUND, "not found in the image"
    for directory in directories:
        path = f"{directory}/{name}" if directory else name
        try:
            os.execve(path, options.argv, options.env)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                code, message = NOT_EXECUTABLE, f"cannot be executed: {error.strerror}"
            elif os.path.exists(path):
                code, message = NOT_FOUND, "its interpreter (a loader, or what #! names) is not in the image"
        except ValueError as error:
            return NOT_EXECUTABLE, f"cannot be executed: {error}"
    return code, message


def _fail(options: Options, failure: Failure, code: int = NOT_MADE) -> NoReturn:
    separator = "\n  hint: " if failure.hint else ""
    text = f"{failure.message}{separator}{failure.hint}\n"
    os.write(options.status_fd, text.encode(errors="surrogateescape"))
    os._exit(code)


def main(arguments: Sequence[str]) -> int:
    """Run the program that ``arguments`` describe and return its exit code."""
    options = Options()
    try:
        options = parse(arguments)
        if options.die_with_parent:
            _prctl(1, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED | {signal.SIGCHLD})
        if options.only_root:
            return _only_root(options)
        network = _NEWNET if options.network == "none" else 0
        _unshare(options, _NEWPID | _NEWIPC | _NEWUTS | _NEWCGROUP | network)
        child = os.fork()
        if child == 0:
            os._exit(_first_process(options))
        return attend(child)
    except Failure as failure:
        _fail(options, failure)
    except OSError as error:
        _fail(options, Failure(f"the sandbox could not be made: {error}"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
