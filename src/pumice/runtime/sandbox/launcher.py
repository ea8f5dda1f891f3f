"""Executing the program of the image without leaving it our own executable (CVE-2019-5736).

A program of an image can be a link to ``/proc/self/exe``, or a script with this interpreter. A process that
executes it has our Python interpreter as its executable, and could write to that file if a user of the
container owns it. Looking at the path does not suffice, because a process in the container can replace it
between the look and the execution.

So this process first becomes a launcher of a few instructions, in a sealed file in memory, which executes
the program. If that fails, it writes one of the reasons that it has for all errors, and ends.
"""

from __future__ import annotations

import _struct as struct  # see `syscalls`
import errno
import fcntl
import os
import stat

from pumice.runtime.sandbox.errors import NOT_EXECUTABLE, NOT_FOUND
from pumice.runtime.sandbox.launcher_code import CODE, MACHINES
from pumice.runtime.sandbox.program_check import HEAD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.runtime.sandbox.options import Options

    Failure = tuple[int, str]  # the exit code and the message

_OWN = "/proc/self/exe"
_UNMAPPED = 65534
"""What the owner of a file is whose id the user namespace does not have."""
_MAX_INTERPRETERS = 6
"""More than the kernel follows."""
_ADDRESS = 0x400000
_ERRORS = 134
_ENTRY = struct.Struct("<QII")


def is_exposed(path: str = _OWN) -> bool:
    """Return whether a user of this user namespace could write to an executable, our own by default."""
    try:
        status = os.stat(path)
    except OSError:
        return True
    is_owned = status.st_uid != _UNMAPPED or status.st_gid != _UNMAPPED
    return is_owned or bool(status.st_mode & stat.S_IWOTH)


def is_own_executable(path: str) -> bool:
    """Return whether the kernel would execute our executable for a program or a script."""
    try:
        own = os.stat(_OWN)
        for _ in range(_MAX_INTERPRETERS):
            if os.path.samestat(os.stat(path), own):
                return True
            with open(path, "rb", opener=_open_file) as file:
                head = file.read(HEAD)
            words = head[2:].split(b"\n")[0].split()
            if not head.startswith(b"#!") or not words:
                return False
            path = os.fsdecode(words[0])
    except OSError:
        pass
    return False


def _open_file(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def execute(options: Options, path: str, explain: Callable[[int], Failure]) -> OSError | None:
    """Execute the program at ``path``; return only the error if there is no launcher here.

    ``explain`` returns what to say of the error of a failed execution.
    """
    machine = os.uname().machine
    if options.own_filter or machine not in MACHINES:
        return OSError(errno.ENOSYS, "no launcher")
    try:
        launcher = os.memfd_create("launcher", os.MFD_ALLOW_SEALING)
    except OSError as error:
        return error
    descriptors = [launcher, *(each for each in (options.status_fd, options.exec_fd) if each > 2)]
    reasons = [_format_reason(options.argv[0], explain(number)) for number in range(_ERRORS)]
    try:
        os.write(launcher, make_launcher(machine, path, descriptors, options.status_fd, reasons))
        fcntl.fcntl(launcher, fcntl.F_ADD_SEALS, _SEALS)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        os.execve(launcher, options.argv, options.env)
    except OSError as error:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        return error


def copy_executable(path: str) -> int:
    """Return a descriptor of a sealed copy of a program, for a process of it that a container can see."""
    with open(path, "rb") as file:
        content = file.read()
    descriptor = os.memfd_create(os.path.basename(path), os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def _format_reason(program: str, failure: Failure) -> tuple[int, bytes]:
    code, message = failure
    return code, f"{program}: {message}\n".encode(errors="surrogateescape")


def make_launcher(
    machine: str, path: str, descriptors: Sequence[int], status_fd: int, reasons: Sequence[tuple[int, bytes]]
) -> bytes:
    """Return the ELF file; it closes ``descriptors`` when it executes the program.

    ``reasons`` are the exit code and the text for each error. If the launcher is started again, the first
    descriptor is closed, and it ends: so it does when it executes itself.
    """
    name = os.fsencode(path) + b"\0"
    texts = b"".join(text for _, text in reasons)
    size = len(CODE[machine](descriptors, status_fd, 0, 0))
    table = _ADDRESS + _HEAD_SIZE + size + -size % 8
    first_text = table + _ENTRY.size * len(reasons)
    entries, position = [], first_text
    for code, text in reasons:
        entries.append(_ENTRY.pack(position, len(text), code))
        position += len(text)
    code_bytes = CODE[machine](descriptors, status_fd, position, table)
    content = code_bytes.ljust(table - _ADDRESS - _HEAD_SIZE, b"\0") + b"".join(entries) + texts + name
    return _make_head(machine, len(content)) + content


_HEAD_SIZE = 64 + 2 * 56
_ELF_HEAD, _PROGRAM_HEAD = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ")
_PT_LOAD, _PT_GNU_STACK = 1, 0x6474E551


def _make_head(machine: str, size: int) -> bytes:
    """Return the headers of a program that is loaded as a whole, and has no executable stack."""
    identification = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    entry = _ADDRESS + _HEAD_SIZE
    total = _HEAD_SIZE + size
    return (
        _ELF_HEAD.pack(identification, 2, MACHINES[machine], 1, entry, 64, 0, 0, 64, 56, 2, 0, 0, 0)
        + _PROGRAM_HEAD.pack(_PT_LOAD, 5, 0, _ADDRESS, _ADDRESS, total, total, 0x10000)
        + _PROGRAM_HEAD.pack(_PT_GNU_STACK, 6, 0, 0, 0, 0, 0, 16)
    )


def find_obstacle(path: str) -> Failure | None:
    """Return why a file cannot be the program, None if it can, as far as that is known before."""
    try:
        status = os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return NOT_FOUND, "not found in the image"
        return NOT_EXECUTABLE, f"cannot be executed: {error.strerror}"
    if not stat.S_ISREG(status.st_mode) or not os.access(path, os.X_OK):
        return NOT_EXECUTABLE, f"cannot be executed: {os.strerror(errno.EACCES)}"
    if is_own_executable(path):
        return NOT_EXECUTABLE, "cannot be executed: it is the executable of the sandbox"
    return None
