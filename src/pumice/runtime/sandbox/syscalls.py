"""The system calls that the os module lacks, with the kernel's names for their flags.

They raise OSError with the path or the call that failed.
"""

from __future__ import annotations

import _struct as struct  # struct itself only imports it, which takes as long as two modules
import errno
import os

from pumice.runtime.sandbox.libc import CLibrary, FilterProgram, ULong, byref, get_errno
from pumice.runtime.sandbox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

# linux/sched.h
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
# linux/mount.h
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x20, 0x1000, 0x4000, 0x40000
_MNT_DETACH = 2
# linux/prctl.h
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_READ, _PR_CAPBSET_DROP = 1, 4, 22, 23, 24
_PR_SET_KEEPCAPS, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 8, 36, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 2, 4
# linux/seccomp.h
_SECCOMP_MODE_FILTER = 2
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_NEW_LISTENER = 1, 8
_SYS_SECCOMP = {"x86_64": 317, "aarch64": 277, "riscv64": 277}
# linux/fcntl.h
_AT_EMPTY_PATH, _AT_RECURSIVE = 0x1000, 0x8000
# linux/openat2.h
_RESOLVE_NO_XDEV, _RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_IN_ROOT = 0x01, 0x02, 0x04, 0x10
# These have the same number on every architecture.
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_OPENAT2, _SYS_MOUNT_SETATTR = 428, 429, 437, 442
# linux/mount.h
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC, _MOUNT_ATTR_IDMAP, _MOVE_MOUNT_F_EMPTY_PATH = 1, 0x80000, 0x100000, 4
_MOVE_MOUNT_T_EMPTY_PATH = 0x40
_AT_FDCWD = -100
# linux/signalfd.h
_SFD_CLOEXEC, _SIGNAL_RECORD = os.O_CLOEXEC, 128
# linux/landlock.h
_SYS_LANDLOCK_CREATE_RULESET, _SYS_LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET = 1
# linux/keyctl.h
_SYS_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219}
_KEYCTL_JOIN_SESSION_KEYRING = 1
# linux/capability.h
_CAPABILITY_VERSION_3 = 0x20080522
# linux/sockios.h, linux/if.h
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_AF_INET, _SOCK_DGRAM = 2, 2
# linux/un.h, linux/net.h
_AF_UNIX, _SOCK_SEQPACKET, _MAX_CONNECTIONS = 1, 5, 16

_libc = CLibrary()


def _check_result(subject: str, result: int) -> int:
    if result == -1:
        number = get_errno()
        raise OSError(number, os.strerror(number), subject)
    return result


def unshare(flags: int) -> None:
    """Move this process into the new namespaces in ``flags``; CLONE_NEWPID applies to its children."""
    _check_result("unshare", _libc.unshare(flags))


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mount a file system (mount(2)); ``kind`` is None for a bind mount or a change of flags."""
    fields = (os.fsencode(source), os.fsencode(target), kind.encode() if kind else None)
    _check_result(target, _libc.mount(*fields, ULong(flags), data.encode()))


def add_mount_flags(mount_point: int, flags: int) -> None:
    """Add ``flags`` (MS_RDONLY and its like, which equal MOUNT_ATTR_*) to the mounts at a descriptor."""
    attributes = struct.pack("4Q", flags, 0, 0, 0)
    arguments = (mount_point, b"", _AT_EMPTY_PATH | _AT_RECURSIVE, attributes, len(attributes))
    _check_result("mount_setattr", _libc.syscall(_SYS_MOUNT_SETATTR, *arguments))


def clone_mount(path: str, *, recursive: bool = True) -> int:
    """Return a descriptor of a copy of the mount at a path, if ``recursive`` with the mounts below it."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    return _check_result(path, _libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags))


def shift_ids(mount_copy: int, user_namespace: int) -> None:
    """Map the owners in a mount that is not attached yet as a user namespace maps them."""
    attributes = struct.pack("4Q", _MOUNT_ATTR_IDMAP, 0, 0, user_namespace)
    arguments = (mount_copy, b"", _AT_EMPTY_PATH, attributes, len(attributes))
    _check_result("mount_setattr", _libc.syscall(_SYS_MOUNT_SETATTR, *arguments))


def attach_mount(mount_copy: int, path: str) -> None:
    """Attach a mount at ``path``."""
    arguments = (mount_copy, b"", _AT_FDCWD, os.fsencode(path), _MOVE_MOUNT_F_EMPTY_PATH)
    _check_result(path, _libc.syscall(_SYS_MOVE_MOUNT, *arguments))


def attach_mount_at(mount_copy: int, target: int) -> None:
    """Attach a mount at the file or directory of a descriptor."""
    arguments = (mount_copy, b"", target, b"", _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH)
    _check_result("move_mount", _libc.syscall(_SYS_MOVE_MOUNT, *arguments))


def open_in_root(root: int, path: str, flags: int = os.O_PATH) -> int:
    """Return a descriptor of ``path``, which the kernel resolves inside the directory ``root``."""
    how = struct.pack("3Q", flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    return _check_result(path, _libc.syscall(_SYS_OPENAT2, root, os.fsencode(path), how, len(how)))


def open_on_mount(directory: int, name: str) -> int:
    """Return an O_PATH descriptor of a file in a directory, a link itself; EXDEV if it is a mount point."""
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    # A link may be the last component, with O_PATH and O_NOFOLLOW.
    how = struct.pack("3Q", flags, 0, _RESOLVE_NO_XDEV | _RESOLVE_NO_SYMLINKS)
    return _check_result(name, _libc.syscall(_SYS_OPENAT2, directory, os.fsencode(name), how, len(how)))


def enter_root() -> None:
    """Make the working directory, which is a mount, the root, and detach the old root."""
    _check_result("pivot_root", _libc.pivot_root(b".", b"."))
    # The old root is stacked on the new one.
    _check_result("umount2", _libc.umount2(b".", _MNT_DETACH))
    os.chdir("/")


def join_namespaces(process: int, flags: int) -> None:
    """Enter those namespaces of the process of a pidfd that ``flags`` name (setns(2))."""
    _check_result("setns", _libc.setns(process, flags))


def open_signal_descriptor(signals: Collection[int]) -> int:
    """Return a descriptor from which `read_signal` reads ``signals``, which must be blocked (signalfd(2))."""
    mask = bytearray(128)
    word_bits = 8 * struct.calcsize("L")
    for number in signals:
        word, bit = divmod(number - 1, word_bits)
        (bits,) = struct.unpack_from("L", mask, word * word_bits // 8)
        struct.pack_into("L", mask, word * word_bits // 8, bits | 1 << bit)
    return _check_result("signalfd", _libc.signalfd(-1, bytes(mask), _SFD_CLOEXEC))


def read_signal(descriptor: int) -> tuple[int, int]:
    """Return the number and the code (sigaction(2), ``si_code``) of a signal, and wait for it."""
    number, _, code = struct.unpack_from("Iii", os.read(descriptor, _SIGNAL_RECORD))
    return number, code


def _prctl(option: int, value: int = 0, pointer: object = None) -> int:
    """Return the result of prctl(2), -1 on failure."""
    return int(_libc.prctl(option, ULong(value), pointer or ULong(0), 0, 0))


def end_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def become_subreaper() -> None:
    """Let the orphans among the descendants of this process become its children."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def hide_process() -> None:
    """Keep other processes of this user from reading this one through ``/proc``."""
    _prctl(_PR_SET_DUMPABLE, 0)


def forbid_new_privileges() -> None:
    """Take their effect from set-id programs and file capabilities, for this process and its children."""
    _check_result("no_new_privs", _prctl(_PR_SET_NO_NEW_PRIVS, 1))


def set_capabilities(numbers: Collection[int], inheritable: Collection[int] = ()) -> None:
    """Make ``numbers`` the effective and permitted capabilities of this process (capset(2))."""
    kept = sum(1 << number for number in inheritable)
    kept_low, kept_high = kept & 0xFFFFFFFF, kept >> 32
    mask = sum(1 << number for number in numbers)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = struct.pack(
        "6I", low, low, kept_low, high, high, kept_high
    )  # effective, permitted, inheritable; twice
    _check_result("capset", _libc.capset(struct.pack("Ii", _CAPABILITY_VERSION_3, 0), data))


def limit_capabilities(numbers: Collection[int]) -> None:
    """Remove all other capabilities from the bounding set, and all from the ambient set."""
    for number in range(64):
        if number in numbers or _prctl(_PR_CAPBSET_DROP, number) != -1:
            continue
        if get_errno() == errno.EINVAL:  # there are no more
            break
        if _prctl(_PR_CAPBSET_READ, number):
            _check_result(f"capability {number}", _prctl(_PR_CAPBSET_DROP, number))
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)


def keep_capabilities() -> None:
    """Keep the permitted capabilities when the user changes from root to another (PR_SET_KEEPCAPS)."""
    _prctl(_PR_SET_KEEPCAPS, 1)


def raise_ambient_capabilities(numbers: Collection[int]) -> None:
    """Let the program keep ``numbers``, which are inheritable, when it is executed."""
    for number in numbers:
        result = _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, ULong(number), 0, 0)
        _check_result("ambient capability", int(result))


def join_new_keyring() -> None:
    """Replace the session keyring, which the caller may have filled (keyctl(2)); a full quota is ignored."""
    number = _SYS_KEYCTL.get(os.uname().machine)
    if number is not None:
        _libc.syscall(number, _KEYCTL_JOIN_SESSION_KEYRING, None)


def isolate_abstract_sockets() -> None:
    """Keep this process from abstract sockets of processes outside (landlock(7)), before Linux 6.12 in vain.

    It must have no new privileges, or the capability SYS_ADMIN.
    """
    attributes = struct.pack("3Q", 0, 0, _LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET)
    ruleset = _libc.syscall(_SYS_LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset >= 0:
        _check_result("landlock", _libc.syscall(_SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0))
        os.close(ruleset)


def install_seccomp_filter(program: bytes) -> None:
    """Install a filter of system calls, in classic BPF (seccomp(2))."""
    filter_program = byref(FilterProgram(len(program) // 8, program))
    _check_result("seccomp", _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, filter_program))


def install_notifying_filter(program: bytes) -> int:
    """Install a filter as above, and return the descriptor on which its notifications arrive."""
    filter_program = byref(FilterProgram(len(program) // 8, program))
    arguments = (_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_NEW_LISTENER, filter_program)
    return _check_result("seccomp", _libc.syscall(_SYS_SECCOMP[os.uname().machine], *arguments))


def set_hostname(name: str) -> None:
    """Set the host name of this UTS namespace; a name that is too long is ignored."""
    _libc.sethostname(name.encode(), len(name.encode()))


def raise_loopback() -> None:
    """Bring up the loopback device of this network namespace (netdevice(7))."""
    # The socket module would take longer to import than all of the sandbox.
    descriptor = _check_result("socket", _libc.socket(_AF_INET, _SOCK_DGRAM, 0))
    request = struct.pack("16sH22x", b"lo", _IFF_UP)
    _check_result("lo", _libc.ioctl(descriptor, ULong(_SIOCSIFFLAGS), request))
    os.close(descriptor)


def listen_at(path: str) -> int:
    """Return a socket that listens at a path, which must be short, for connections that keep messages apart.

    The socket module would need more memory than all that is done with these sockets.
    """
    descriptor = _check_result(
        "socket", _libc.socket(_AF_UNIX, _SOCK_SEQPACKET | os.O_CLOEXEC | os.O_NONBLOCK, 0)
    )
    try:
        address = struct.pack("=H108s", _AF_UNIX, os.fsencode(path))
        _check_result(path, _libc.bind(descriptor, address, len(address)))
        os.chmod(path, 0o600)
        _check_result(path, _libc.listen(descriptor, _MAX_CONNECTIONS))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def accept_connection(listener: int) -> int:
    """Return the next connection of a listening socket; neither of them blocks."""
    return _check_result("accept", _libc.accept4(listener, None, None, os.O_CLOEXEC | os.O_NONBLOCK))
