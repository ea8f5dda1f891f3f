"""Run one program in its own namespaces: a sandbox in one file.

    python3 -I -S sandbox.py [OPTION VALUE…]… -- PROGRAM [ARGUMENT…]

``docs/explanation/sandbox.md`` describes what it isolates and what it does not; `Options` lists the options.
There are three processes. This one stays outside, forwards signals, and copies streams that the program
cannot open by name. The second supervises: when it ends, its PID namespace ends with it. The third is the
program, process 1 of a nested PID namespace; with ``--init`` the second is process 1 and reaps orphans.

Exit code: that of the program, 128+n if signal n ended it, 126 if it is not executable, 127 if it does not
exist, 125 if the sandbox cannot be set up (the reason goes to ``--status-fd``, by default standard error).

It is one file although it is long, and imports only the standard library. With ``-I -S`` the import path has
nothing but that, so no installed package can run code in the process that sets up the isolation, and once the
root has changed nothing can be imported, because an import would find files of the image. One file can
be copied and audited as a whole. (Startup time is no reason: two files take no longer to load.)
"""

# pathlib takes longer to import than everything else, and processes are started with os calls here:
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

SETUP_FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FORWARDED_SIGNALS = frozenset(
    getattr(signal, f"SIG{name}") for name in ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH", "ALRM")
)
# Sent by the helper of the program's terminal when the key of that signal was typed.
_TYPED = {signal.SIGRTMIN: signal.SIGINT, signal.SIGRTMIN + 1: signal.SIGQUIT}

# linux/sched.h, linux/mount.h, linux/fcntl.h, linux/openat2.h, linux/prctl.h, linux/capability.h
_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000
NAMESPACES = (_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET)
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 0x20, 0x1000, 0x4000, 0x40000
_OPENAT2, _MOUNT_SETATTR = 437, 442  # the same number on every architecture
_IN_ROOT = 0x12  # RESOLVE_IN_ROOT and no magic links
CAPABILITIES = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7}
CAPABILITIES["NET_BIND_SERVICE"] = 10
"""The capabilities of root in the container."""

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = (
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
)
# The paths that OCI runtimes mask or make read-only by default.
MASKED_PATHS = (
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats"),
    *("/sys/firmware", "/sys/fs/selinux", "/sys/devices/virtual/powercap"),
    *("/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/security", "/sys/kernel/config"),
    *("/sys/fs/bpf", "/sys/fs/pstore", "/sys/fs/fuse/connections"),
)
_SHOWN_BELOW_SYS = ("sysfs", "cgroup", "cgroup2", "tmpfs")
READ_ONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

# Calls that no contained program needs: name, number on x86_64, number in asm-generic (arm64, riscv64).
DENIED_SYSCALLS = """
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
_FIRST_UNKNOWN = 467  # newer system calls fail with ENOSYS, as on an older kernel
_CLONE3 = 435
DENIED_IOCTLS = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX, which insert input into the terminal as if the user had typed it."""
# machine: (AUDIT_ARCH, column of DENIED, clone, ioctl)
_MACHINES = {
    "x86_64": (0xC000003E, 1, 56, 16),
    "aarch64": (0xC00000B7, 2, 220, 29),
    "riscv64": (0xC00000F3, 2, 220, 29),
}


class Failure(Exception):  # noqa: N818 - the sandbox's reason for exit code 125
    """The sandbox cannot be set up: one sentence and a hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Options:
    """The options of the command line. ``--args FD`` reads more, in the format of `encode_arguments`."""

    def __init__(self) -> None:
        self.root = ""  # --root DIR: never written to
        self.read_only = False  # --read-only
        self.copy = False  # --copy: copy the root into memory instead of laying an overlay over it
        # --only-root: start PROGRAM of this machine, with a writable root at DIR/root, and end with it
        self.only_root = False
        self.signal_child = False  # --signal-child: pass signals to the child of --only-root's PROGRAM
        self.init = False  # --init: be process 1 inside, forward signals and reap orphans
        self.terminal = False  # --terminal: if 0 and 1 are a terminal, give PROGRAM one of its own
        self.network = "host"  # --network host|none
        self.hostname = "pumice"  # --hostname NAME
        self.uid = 0  # --uid N
        self.gid = 0  # --gid N
        self.groups: list[int] = []  # --group N …
        self.cwd = "/"  # --cwd DIR, made if it is not there
        self.env: dict[str, str] = {}  # --env NAME=VALUE …
        self.mounts: list[tuple[str, str, str]] = []  # --bind|--ro-bind SOURCE TARGET, --tmpfs TARGET …
        self.files: list[tuple[str, str]] = []  # --file NAME TEXT …: DIR/NAME, in memory, as a SOURCE
        self.owners = ""  # --owners FILE: records of `uid gid mode path`, NUL between, applied to the root
        self.maps: dict[str, list[str]] = {"uid": [], "gid": []}  # --uid-map|--gid-map INSIDE:OUTSIDE:COUNT …
        self.map_helpers = False  # --map-helpers: let newuidmap and newgidmap write the maps
        self.die_with_parent = False  # --die-with-parent
        self.status_fd = 2  # --status-fd FD: where the reason of exit code 125 goes
        self.keep: list[int] = []  # --keep FD …: what --only-root's program inherits beside 0, 1 and 2
        self.argv: list[str] = []
        self.streams = [0, 1, 2]  # what becomes PROGRAM's standard input, output and error
        self.console = ""  # the terminal among them


def parse_options(arguments: Sequence[str]) -> Options:
    """Return the options in ``arguments``; raises Failure for an invalid one."""
    options = Options()
    remaining = list(reversed(arguments))
    try:
        while remaining and (option := remaining.pop()) != "--":
            if option == "--args":
                with open(int(remaining.pop()), "rb") as file:
                    remaining += reversed(decode_arguments(file.read()))
            else:
                _parse_option(options, option, remaining)
    except (IndexError, ValueError, OSError):
        raise Failure(f"the option {option} has no usable value") from None
    options.argv = list(reversed(remaining))
    if not options.root or not options.argv:
        raise Failure("a root and a program are needed", "sandbox.py --root DIR -- PROGRAM")
    return options


def encode_arguments(words: Sequence[str]) -> bytes:
    """Return arguments as bytes for `decode_arguments`, each after its length, so that none can be split."""
    encoded = [word.encode(errors="surrogateescape") for word in words]
    return b"".join(struct.pack("<I", len(word)) + word for word in encoded)


def decode_arguments(data: bytes) -> list[str]:
    """Return the arguments that `encode_arguments` encoded; raises ValueError for malformed bytes.

    An argument with a NUL is malformed, because the kernel would take only what precedes it.
    """
    words = []
    position = 0
    while position < len(data):
        if len(data) - position < 4:
            raise ValueError("a length is cut off")
        (length,) = struct.unpack_from("<I", data, position)
        word = data[position + 4 : position + 4 + length]
        if len(word) != length or b"\0" in word:
            raise ValueError("a word is cut off or contains a NUL")
        words.append(word.decode(errors="surrogateescape"))
        position += 4 + length
    return words


_FLAGS = (
    "read_only",
    "copy",
    "only_root",
    "map_helpers",
    "die_with_parent",
    "signal_child",
    "init",
    "terminal",
)
_WORDS = ("root", "network", "hostname", "cwd", "owners")


def _parse_option(options: Options, option: str, left: list[str]) -> None:
    name = option.removeprefix("--").replace("-", "_")
    if name in _FLAGS:
        setattr(options, name, True)
    elif name in _WORDS:
        setattr(options, name, left.pop())
    elif name in ("uid", "gid", "status_fd"):
        setattr(options, name, int(left.pop()))
    elif name in ("group", "keep"):
        (options.groups if name == "group" else options.keep).append(int(left.pop()))
    elif name in ("uid_map", "gid_map"):
        options.maps[name[:3]].append(left.pop().replace(":", " "))
    else:
        _parse_mount_option(options, name, option, left)


def _parse_mount_option(options: Options, name: str, option: str, left: list[str]) -> None:
    match name:
        case "env":
            key, _, value = left.pop().partition("=")
            options.env[key] = value
        case "bind" | "ro_bind":
            options.mounts.append((name, left.pop(), left.pop()))
        case "tmpfs":
            options.mounts.append((name, "tmpfs", left.pop()))
        case "file":
            options.files.append((left.pop(), left.pop()))
        case _:
            raise Failure(f"unknown option {option}")


# The kernel's calls that the os module lacks ------------------------------------------------------

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _check_result(what: str, result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def _mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    fields = (os.fsencode(source), os.fsencode(target), kind.encode() if kind else None)
    _check_result(target, _libc.mount(*fields, ctypes.c_ulong(flags), data.encode()))


def _prctl(option: int, value: int = 0, pointer: object = None) -> int:
    return int(_libc.prctl(option, ctypes.c_ulong(value), pointer or ctypes.c_ulong(0), 0, 0))


def _set_capabilities(numbers: Sequence[int]) -> None:
    mask = sum(1 << number for number in numbers)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = struct.pack("6I", low, low, 0, high, high, 0)  # effective, permitted, inheritable; twice
    _check_result("capset", _libc.capset(struct.pack("Ii", 0x20080522, 0), data))


# The user namespace -------------------------------------------------------------------------------


def _unshare_user(options: Options, flags: int) -> None:
    """Enter a user namespace and those in ``flags``; a helper outside of it writes the id maps."""
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
    os.close(go)  # closing the pipe tells the helper to begin
    _, status = os.waitpid(helper, 0)
    os.close(ready)
    if status:
        hint = "check /etc/subuid and /etc/subgid" if options.map_helpers else ""
        raise _no_namespaces("cannot write the map of user ids", hint)


def _default_maps(options: Options) -> dict[str, list[str]]:
    if os.geteuid() != 0:
        return {"uid": [f"{options.uid} {os.geteuid()} 1"], "gid": [f"{options.gid} {os.getegid()} 1"]}
    maps = {}
    for kind in ("uid", "gid"):  # map all ids that are mapped here onto themselves
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
    return Failure(f"cannot create a user namespace: {reason}", hint)


# The file system ----------------------------------------------------------------------------------


class _Root:
    """The new root. Paths are resolved inside it, so no link of the image leads out."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def open(self, path: str) -> int:
        """Return an O_PATH descriptor of ``path`` inside the root."""
        how = struct.pack("3Q", os.O_PATH | os.O_CLOEXEC, 0, _IN_ROOT)
        return _check_result(path, _libc.syscall(_OPENAT2, self.descriptor, os.fsencode(path), how, len(how)))

    def ensure(self, path: str, directory: bool) -> int:
        """Return a descriptor of ``path``, which is created with its parents if it does not exist."""
        try:
            return self.open(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP):
                raise
            parent, _, name = path.rstrip("/").rpartition("/")
        above = self.ensure(parent or "/", directory=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=above)  # a dangling or circular link
        if directory:
            os.mkdir(name, 0o755, dir_fd=above)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=above))
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=above)
        os.close(above)
        return descriptor

    def mount(self, source: str, path: str, kind: str | None, flags: int, data: str = "") -> None:
        """Mount on ``path``; ``flags`` of a bind mount also apply to the mounts below it."""
        try:
            target = self.ensure(path, directory=kind is not None or os.path.isdir(source))
            _mount(source, f"/proc/self/fd/{target}", kind, flags if kind else _BIND | _REC, data)
            os.close(target)
            if not kind:
                self._restrict(path, flags)
        except OSError as error:
            raise Failure(f"cannot mount {kind or source} on {path} ({error.strerror})") from None

    def _restrict(self, path: str, flags: int) -> None:
        top = self.open(path)
        _add_flags(top, flags)
        os.close(top)


def _add_flags(mount_point: int, flags: int) -> None:
    """Add ``flags`` (MS_RDONLY and its like, which equal MOUNT_ATTR_*) to the mounts at a descriptor."""
    attributes = struct.pack("4Q", flags, 0, 0, 0)
    empty_path_recursive = 0x1000 | 0x8000
    arguments = (mount_point, b"", empty_path_recursive, attributes, len(attributes))
    _check_result("mount_setattr", _libc.syscall(_MOUNT_SETATTR, *arguments))


def _build_root(options: Options) -> None:
    """Set up the new root with all its mounts, and leave the old root."""
    root = _writable_root(options)
    root.mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    root.mount("/sys", "/sys", None, _RDONLY | _NOSUID | _NODEV | _NOEXEC)
    _make_devices(root, options.console)
    _mask_paths(root)
    if options.read_only:
        for path, mode in (("/tmp", "1777"), ("/var/tmp", "1777"), ("/run", "0755")):  # noqa: S108 - inside
            root.mount("tmpfs", path, "tmpfs", _NOSUID | _NODEV, f"mode={mode}")
    for kind, source, target in options.mounts:
        if kind == "tmpfs":
            root.mount("tmpfs", target, "tmpfs", _NOSUID | _NODEV, "mode=1777")
        else:
            root.mount(source, target, None, _NOSUID | _NODEV | (_RDONLY if kind == "ro_bind" else 0))
    os.close(root.ensure(options.cwd, directory=True))
    os.fchdir(root.descriptor)
    if options.read_only:
        _mount("none", ".", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    _check_result("pivot_root", _libc.pivot_root(b".", b"."))
    _check_result(
        "umount2", _libc.umount2(b".", 2)
    )  # MNT_DETACH: unmount the old root, which is stacked on the new one
    os.chdir("/")
    _reopen_devices(options)


def _writable_root(options: Options) -> _Root:
    """Return a root over ``options.root`` that keeps changes in memory, so that nothing is left behind."""
    _check_result("unshare", _libc.unshare(_NEWNS))
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
    for file_name, text in options.files:
        with open(file_name, "x", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    if options.copy or not _try_overlay(lower):
        _copy_root(lower, options)
    root = _Root(os.open("root", os.O_PATH | os.O_DIRECTORY))
    if options.owners:
        _restore_owners(root, options.owners)
    return root


def _try_overlay(lower: int) -> bool:
    layers = f"userxattr,lowerdir=/proc/self/fd/{lower},upperdir=upper,workdir=work"
    try:
        _mount("overlay", "root", "overlay", _NOSUID | _NODEV, layers)
    except OSError:  # before Linux 5.11, or on an unsupported file system
        return False
    return True


def _copy_root(lower: int, options: Options) -> None:
    command = ["cp", "-a", f"/proc/self/fd/{lower}/.", "root"]
    if options.maps["uid"][0].endswith(" 1"):
        command.insert(2, "--no-preserve=ownership")
    os.set_inheritable(lower, True)
    if os.spawnvp(os.P_WAIT, "cp", command):
        raise Failure("the root can be neither overlaid nor copied into memory")
    os.set_inheritable(lower, False)
    _mount("root", "root", None, _BIND | _REC)


def _restore_owners(root: _Root, records: str) -> None:
    """Set the owners that could not be set when the root was unpacked."""
    with open(records, encoding="utf-8", errors="surrogateescape") as file:
        for record in file.read().split("\0")[:-1]:
            uid, gid, mode, path = record.split(" ", 3)
            above = root.open("/" + os.path.dirname(path))
            name = os.path.basename(path)
            os.chown(name, int(uid), int(gid), dir_fd=above, follow_symlinks=False)
            if not stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
                os.chmod(name, int(mode, 8), dir_fd=above)
            os.close(above)


def _make_devices(root: _Root, console: str) -> None:
    """Set up /dev. The nodes are those of the host, read-only so that their mode and owner cannot change."""
    root.mount("tmpfs", "/dev", "tmpfs", _NOSUID | _NOEXEC, "mode=0755")
    for name in _DEVICES:
        root.mount(f"/dev/{name}", f"/dev/{name}", None, _RDONLY | _NOSUID | _NOEXEC)
    if console:
        root.mount(console, "/dev/console", None, _RDONLY | _NOSUID | _NOEXEC)
    above = root.open("/dev")
    for name, text in _DEVICE_LINKS:
        os.symlink(text, name, dir_fd=above)
    os.close(above)
    root.mount("tmpfs", "/dev/shm", "tmpfs", _NOSUID | _NODEV | _NOEXEC, "mode=1777")  # noqa: S108
    root.mount("devpts", "/dev/pts", "devpts", _NOSUID | _NOEXEC, "newinstance,ptmxmode=0666,mode=0620")


def _freeze_devices() -> None:
    """Make the devices read-only for an external program, which binds them into the root as they are."""
    for name in _DEVICES:
        _mount(f"/dev/{name}", f"/dev/{name}", None, _BIND)
        node = os.open(f"/dev/{name}", os.O_PATH)
        _add_flags(node, _RDONLY)
        os.close(node)


def _reopen_devices(options: Options) -> None:
    """Reopen devices among the streams by their names in the new root, where they are read-only.

    With a descriptor of the host's /dev/null, the program could change its mode.
    """
    names = {os.stat(f"/dev/{name}").st_rdev: name for name in _DEVICES if name != "tty"}
    for number, stream in enumerate(options.streams):
        try:
            status = os.fstat(stream)
        except OSError:  # the caller closed it
            continue
        if stat.S_ISCHR(status.st_mode) and status.st_rdev in names:
            options.streams[number] = os.open(f"/dev/{names[status.st_rdev]}", os.O_RDWR)


def masked_paths() -> list[str]:
    """Return `MASKED_PATHS` and the other mounts below /sys, such as debugfs, tracefs and bpf."""
    paths = list(MASKED_PATHS)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split(" ")
            path, kind = fields[4], fields[fields.index("-") + 1]
            if path.startswith("/sys/") and kind not in _SHOWN_BELOW_SYS and "\\" not in path:
                paths.append(path)
    return [path for path in dict.fromkeys(paths) if not _is_below(path, paths)]


def _is_below(path: str, others: Sequence[str]) -> bool:
    return any(path.startswith(other + "/") for other in others)


def _mask_paths(root: _Root) -> None:
    for path in (*masked_paths(), *READ_ONLY_PATHS):
        try:
            found = root.open(path)
        except OSError:
            continue
        directory = stat.S_ISDIR(os.fstat(found).st_mode)
        os.close(found)
        if path in READ_ONLY_PATHS:
            root.mount(f"/proc/self/fd/{root.open(path)}", path, None, _RDONLY)
        elif directory:
            root.mount("tmpfs", path, "tmpfs", _RDONLY | _NOSUID | _NODEV | _NOEXEC, "size=0k")
        else:
            root.mount("/dev/null", path, None, _RDONLY | _NOSUID | _NOEXEC)


def _raise_loopback() -> None:
    import fcntl
    import socket

    with socket.socket() as probe:
        fcntl.ioctl(probe, 0x8914, struct.pack("16sH14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


# Dropping privileges ------------------------------------------------------------------------------


def _drop_privileges() -> None:
    for number in range(64):
        if (
            number not in CAPABILITIES.values() and _prctl(24, number) == -1
        ):  # PR_CAPBSET_DROP; EINVAL ends the list
            break
    _prctl(47, 4)  # PR_CAP_AMBIENT, clear all
    _check_result("no_new_privs", _libc.prctl(38, 1, 0, 0, 0))
    program = make_seccomp_filter(os.uname().machine)
    if program:
        buffer = ctypes.create_string_buffer(program, len(program))
        header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
        _check_result("seccomp", _prctl(22, 2, header))  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def make_seccomp_filter(machine: str) -> bytes:
    """Return the filter for ``machine`` as classic BPF over struct seccomp_data (linux/seccomp.h).

    Empty for a machine whose system call numbers are unknown.
    """
    if machine not in _MACHINES:
        return b""
    architecture, column, clone, ioctl = _MACHINES[machine]
    load, equal, at_least, any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, unknown = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
    words = (row.split() for row in DENIED_SYSCALLS.replace("\n", " ").split(","))
    numbers = sorted(int(row[column]) for row in words if row[column] != "-")
    code = [
        (load, 0, 0, 4),  # the architecture, because 32-bit system calls have other numbers
        (equal, 1, 0, architecture),
        (answer, 0, 0, unknown),
        (load, 0, 0, 0),  # the number of the system call
        (at_least, 0, 1, _FIRST_UNKNOWN),  # which also covers x32
        (answer, 0, 0, unknown),
        (equal, 0, 1, _CLONE3),  # a filter cannot read its flags; libc falls back to clone
        (answer, 0, 0, unknown),
    ]
    for number in numbers:
        code += [(equal, 0, 1, number), (answer, 0, 0, refuse)]
    code += [(equal, 0, 4, clone), (load, 0, 0, 16), (any_bit, 0, 1, sum(NAMESPACES)), (answer, 0, 0, refuse)]
    code += [(answer, 0, 0, allow), (equal, 0, 4, ioctl), (load, 0, 0, 24)]
    code += [(equal, 1, 0, DENIED_IOCTLS[0]), (equal, 0, 1, DENIED_IOCTLS[1]), (answer, 0, 0, refuse)]
    code += [(answer, 0, 0, allow)]
    return b"".join(struct.pack("HBBI", *line) for line in code)


# Standard streams ---------------------------------------------------------------------------------


def _prepare_streams(options: Options) -> list[int]:
    """Prepare the standard streams so that the program can open them by name; return helpers to wait for.

    Opening ``/dev/stdout`` opens the file of the descriptor again, with the rights of the program. The owner
    of a pipe becomes the program's user, as in other runtimes. For everything else a helper copies: to files,
    which would be truncated, to sockets, which cannot be opened, and to terminals of other users.
    """
    helpers = []
    if options.terminal and os.isatty(0) and os.isatty(1) and _is_foreground():
        helpers += _make_terminal(options)
    elif not options.only_root:
        options.console = next((os.ttyname(number) for number in (0, 1, 2) if os.isatty(number)), "")
    pipes: dict[tuple[int, int], int] = {}
    for number in (0, 1, 2):
        try:
            status = os.fstat(number)
        except OSError:  # the caller closed it
            continue
        if options.streams[number] != number:
            continue
        if _is_anonymous_pipe(status) and os.geteuid() in (0, status.st_uid):
            _chown_stream(number, options)
        elif number and _needs_copying(number, status, options):
            key = (status.st_dev, status.st_ino)
            if key not in pipes:
                pipes[key], helper = _copy_stream(number, options)
                helpers.append(helper)
            options.streams[number] = pipes[key]
    return helpers


def _is_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # the terminal of another session, or of none
        return True


def _is_anonymous_pipe(status: os.stat_result) -> bool:
    """Return whether it is an unnamed pipe: changing the owner of a named one would change a file."""
    if not stat.S_ISFIFO(status.st_mode):
        return False
    reader, writer = os.pipe()
    device = os.fstat(reader).st_dev
    os.close(reader)
    os.close(writer)
    return status.st_dev == device


def _needs_copying(number: int, status: os.stat_result, options: Options) -> bool:
    if not stat.S_ISCHR(status.st_mode):
        return True
    if os.geteuid() != 0 or options.only_root:  # the ids inside are those of the caller
        return options.terminal and os.isatty(number) and os.geteuid() not in (0, status.st_uid)
    if not os.isatty(number):
        return not any(os.stat(f"/dev/{name}").st_rdev == status.st_rdev for name in _DEVICES)
    return options.uid not in (0, status.st_uid)


def _chown_stream(descriptor: int, options: Options) -> None:
    if os.geteuid() == 0 and not options.only_root:
        with contextlib.suppress(OSError):  # the id is not mapped
            os.fchown(descriptor, options.uid, -1)


def _copy_stream(number: int, options: Options) -> tuple[int, int]:
    """Return a pipe (for a terminal: a terminal) that a helper copies to a descriptor, and its id."""
    if os.isatty(number):
        import termios

        source, target = os.openpty()
        attributes = termios.tcgetattr(target)
        attributes[1] &= ~termios.OPOST  # the real terminal converts line feeds
        termios.tcsetattr(target, termios.TCSANOW, attributes)
        _copy_size(number, source)
    else:
        source, target = os.pipe()
    _chown_stream(target, options)
    helper = os.fork()
    if helper == 0:
        _close_all_but({source, number, options.status_fd})
        try:
            while data := os.read(source, 1 << 16):
                _write_all(number, data)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EPIPE):  # the terminal was closed, or the reader is gone
                _fail(options, Failure(f"cannot write the program's output ({error.strerror})"))
        os._exit(0)
    os.close(source)
    return target, helper


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _close_all_but(keep: set[int]) -> None:
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor not in keep:
            with contextlib.suppress(OSError):  # the descriptor that listed the others
                os.close(descriptor)


def _make_terminal(options: Options) -> list[int]:
    """Create a terminal for the program, and a helper that copies between it and the real one."""
    import termios

    try:
        outer_end, inner_end = os.openpty()
    except OSError:
        options.console = os.ttyname(0)
        return []
    attributes = termios.tcgetattr(0)
    termios.tcsetattr(inner_end, termios.TCSANOW, attributes)
    _copy_size(0, outer_end)
    _chown_stream(inner_end, options)
    helper = os.fork()
    if helper == 0:
        _close_all_but({0, 1, outer_end})
        with contextlib.suppress(OSError):  # EIO: the program or the real terminal is gone
            _copy_between_terminals(outer_end, 0 if options.init else os.getppid())
        with contextlib.suppress(OSError):
            termios.tcsetattr(0, termios.TCSADRAIN, attributes)
        os._exit(0)
    os.close(outer_end)
    options.console = os.ttyname(inner_end)
    options.streams = [inner_end if os.isatty(number) else number for number in (0, 1, 2)]
    return [helper]


def _copy_size(real: int, other: int) -> None:
    import fcntl
    import termios

    with contextlib.suppress(OSError):
        fcntl.ioctl(other, termios.TIOCSWINSZ, fcntl.ioctl(real, termios.TIOCGWINSZ, bytes(8)))


def _copy_between_terminals(outer_end: int, outside: int) -> None:
    """Copy between the real terminal and the program's until one of them is closed.

    The process ``outside`` gets a signal for each key that sends one; see `wait_and_forward`.
    """
    import select
    import termios

    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.signal(signal.SIGWINCH, lambda *_: _copy_size(0, outer_end))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGWINCH})
    # As cfmakeraw(3), because the program's own terminal handles lines and control keys.
    raw = termios.tcgetattr(0)
    raw[:4] = [0, 0, termios.CS8 | termios.CREAD, 0]
    raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
    termios.tcsetattr(0, termios.TCSADRAIN, raw)
    os.set_blocking(outer_end, False)
    input_data = b""
    while True:
        readable, writable, _ = select.select(
            [outer_end] if input_data else [0, outer_end], [outer_end] if input_data else [], []
        )
        with contextlib.suppress(BlockingIOError):
            if writable:
                input_data = input_data[os.write(outer_end, input_data) :]
            if outer_end in readable:
                _write_all(1, os.read(outer_end, 1 << 16))
            if 0 in readable:
                input_data = os.read(0, 1 << 12)
                if not input_data:
                    return
                settings = termios.tcgetattr(outer_end)
                for number, key in zip(_TYPED, (termios.VINTR, termios.VQUIT), strict=True):
                    if outside and settings[3] & termios.ISIG and settings[6][key] in input_data:
                        os.kill(outside, number)


def _install_streams(options: Options) -> None:
    """Move the prepared streams to descriptors 0 to 2, and make the terminal the controlling one."""
    for number, stream in enumerate(options.streams):
        if stream != number:
            os.dup2(stream, number)
    if options.terminal and options.console and options.streams[0] != 0:
        import fcntl
        import termios

        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


# Processes ----------------------------------------------------------------------------------------


def wait_and_forward(
    child: int, target: Callable[[], int] | None = None, first: Callable[[], str] | None = None
) -> int:
    """Wait for ``child``, reap all other processes, forward signals; return its exit code, or 128+signal.

    Signals go to ``child``, or to the process that ``target`` returns. The caller has blocked
    FORWARDED_SIGNALS and SIGCHLD. Signals of a terminal are not forwarded: they go to the whole foreground
    group, which includes the child. ``first`` returns the ``/proc`` directory of a program that is process 1:
    the kernel drops signals for which it has no handler, so they are turned into SIGKILL here. Keys that are
    typed on its own terminal arrive as ``_TYPED`` for the same reason.
    """
    watched = FORWARDED_SIGNALS | {signal.SIGCHLD, *_TYPED}
    ended_by = 0
    while True:
        info = signal.sigwaitinfo(watched)
        if info.si_signo != signal.SIGCHLD:
            number = _TYPED.get(info.si_signo, info.si_signo)
            by_process = info.si_code <= 0 and not (first and info.si_signo in _TYPED)
            signal_to_send = info.si_signo if by_process else 0
            if first and _is_fatal(first(), number):
                signal_to_send, ended_by = signal.SIGKILL, number
            with contextlib.suppress(ProcessLookupError):
                os.kill(target() if target else child, signal_to_send)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                killed = code in (-signal.SIGKILL, 128 + signal.SIGKILL)
                return 128 + ended_by if killed and ended_by else code if code >= 0 else 128 - code
            if pid == 0:
                break


def _is_fatal(process: str, number: int) -> bool:
    """Return whether the signal would end the process, because its action is the default."""
    if number == signal.SIGWINCH:
        return False
    prepared = 0
    try:
        with open(f"{process}/status") as file:
            for line in file:
                if line.startswith(("SigBlk:", "SigIgn:", "SigCgt:")):
                    prepared |= int(line[7:], 16)
    except (OSError, ValueError):
        return False
    return not prepared >> (number - 1) & 1


def _child_of(process: str) -> str:
    """Return the ``/proc`` directory of a process's first child, ``""`` if there is none."""
    with contextlib.suppress(OSError):
        for task in os.listdir(f"{process}/task"):
            with open(f"{process}/task/{task}/children") as file:
                for number in file.read().split():
                    return f"/proc/{number}"
    return ""


def _supervise(options: Options) -> int:
    """Run the supervising process, with which all others end; start the program."""
    _prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: end with the process outside
    _libc.sethostname(options.hostname.encode(), len(options.hostname.encode()))
    if options.network == "none":
        _raise_loopback()
    os.umask(0o022)
    if options.init:
        _build_and_confine(options)
        _prctl(4, 0)  # PR_SET_DUMPABLE: the program cannot look into this process
    else:
        # A nested namespace, because in this one the program could clear its PR_SET_PDEATHSIG and survive.
        _check_result("unshare", _libc.unshare(_NEWPID))
    child = os.fork()
    if child == 0:
        if not options.init:
            _build_and_confine(options)
        _execute_as_user(options)
    _set_capabilities([CAPABILITIES["KILL"]])
    if options.init:
        return wait_and_forward(child)
    return wait_and_forward(child, first=lambda: _child_of("/proc/self"))


def _build_and_confine(options: Options) -> None:
    _build_root(options)
    # From here on, an import would find files of the image.
    sys.path[:] = []
    sys.meta_path[:] = []
    _drop_privileges()


def _only_root(options: Options) -> int:
    """Set up the writable root, and start a program of the host on it."""
    as_root = os.geteuid() == 0
    helpers = _prepare_streams(options)
    _enter_namespaces(options, _NEWPID)
    child = os.fork()
    if child == 0:
        _prctl(1, signal.SIGKILL)
        _writable_root(options)
        if as_root:
            _freeze_devices()
            _reopen_devices(options)
        _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
        child = os.fork()
        if child == 0:
            _start_outside(options)
        os._exit(_attend_outside(child, options))
    return _wait_for_helpers(child, options, helpers)


def _attend_outside(child: int, options: Options) -> int:
    if not options.signal_child:
        return wait_and_forward(child)

    def program() -> str:
        found = _child_of(f"/proc/{child}")
        return _child_of(found) if options.init else found

    def target() -> int:
        return int(program().removeprefix("/proc/") or child)

    return wait_and_forward(child, target, None if options.init else program)


def _wait_for_helpers(child: int, options: Options, helpers: Sequence[int]) -> int:
    """Wait for ``child``, then for the helpers, which copy the remaining output of the program."""
    for stream in set(options.streams) - {0, 1, 2}:
        os.close(stream)  # a helper ends when the last writer is gone
    code = wait_and_forward(child)
    for helper in helpers:
        with contextlib.suppress(ChildProcessError):  # reaped while the program ran
            os.waitpid(helper, 0)
    return code


def _start_outside(options: Options) -> NoReturn:
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor not in options.keep:
            with contextlib.suppress(OSError):  # the descriptor that listed the others
                os.set_inheritable(descriptor, False)
    _install_streams(options)
    _release_signals()
    os.execvp(options.argv[0], options.argv)


def _release_signals() -> None:
    """Restore default signal handling; signals that the caller ignores stay ignored, as with nohup."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    for number in signal.sigpending() & FORWARDED_SIGNALS - {signal.SIGWINCH}:
        if signal.getsignal(number) is signal.SIG_DFL:  # the kernel would drop it for process 1
            os._exit(128 + number)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _enter_namespaces(options: Options, flags: int) -> None:
    """Enter the namespaces in ``flags``; root does not need a user namespace for that."""
    if os.geteuid() != 0:
        _unshare_user(options, flags)
    else:
        _check_result("unshare", _libc.unshare(flags))


def _execute_as_user(options: Options) -> NoReturn:
    """Execute the program with its user, environment and default signal handling."""
    try:
        _install_streams(options)
        os.chdir(options.cwd)
        with open("/proc/self/setgroups") as file:
            if file.read().strip() != "deny":
                os.setgroups(options.groups)
        os.setresgid(options.gid, options.gid, options.gid)
        os.setresuid(options.uid, options.uid, options.uid)
        _set_capabilities(list(CAPABILITIES.values()) if options.uid == 0 else [])
        _prctl(1, signal.SIGKILL)  # again, because a change of user clears it
    except OSError as error:
        _fail(options, Failure(f"cannot become user {options.uid}:{options.gid} in {options.cwd}: {error}"))
    _release_signals()
    os.set_inheritable(options.status_fd, options.status_fd <= 2)
    os.closerange(3, options.status_fd)
    os.closerange(max(3, options.status_fd + 1), os.sysconf("SC_OPEN_MAX"))
    code, message = _execute(options)
    _fail(options, Failure(f"{options.argv[0]}: {message}"), code)


def _execute(options: Options) -> tuple[int, str]:
    """Execute the program; on failure return the exit code and message of a shell."""
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


def _fail(options: Options, failure: Failure, code: int = SETUP_FAILED) -> NoReturn:
    separator = "\n  hint: " if failure.hint else ""
    text = f"{failure.message}{separator}{failure.hint}\n"
    os.write(options.status_fd, text.encode(errors="surrogateescape"))
    os._exit(code)


def main(arguments: Sequence[str]) -> int:
    """Run the program that ``arguments`` describe and return its exit code."""
    options = Options()
    try:
        options = parse_options(arguments)
        if options.die_with_parent:
            _prctl(1, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED_SIGNALS | {signal.SIGCHLD, *_TYPED})
        if options.only_root:
            return _only_root(options)
        helpers = _prepare_streams(options)
        network = _NEWNET if options.network == "none" else 0
        _unshare_user(options, _NEWPID | _NEWIPC | _NEWUTS | _NEWCGROUP | network)
        child = os.fork()
        if child == 0:
            os._exit(_supervise(options))
        return _wait_for_helpers(child, options, helpers)
    except Failure as failure:
        _fail(options, failure)
    except (OSError, ValueError, OverflowError) as error:
        _fail(options, Failure(f"cannot set up the sandbox: {error}"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
