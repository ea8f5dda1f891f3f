"""Operations on file descriptors."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from pumice.runtime.sandbox.options import Options


FIRST_SOCKET = 3
"""The first descriptor that is passed to a program which gets sockets (sd_listen_fds(3))."""


_EXHAUSTION = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def is_exhausted(error: OSError) -> bool:
    """Return whether there are no descriptors or no memory for a connection, which then stays readable."""
    return error.errno in _EXHAUSTION


def write_all(descriptor: int, data: bytes) -> None:
    """Write ``data`` to a descriptor that may take less at once."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def create_memory_file(data: bytes) -> int:
    """Return an inheritable descriptor of a memory file with ``data``."""
    descriptor = os.memfd_create("pumice", 0)
    write_all(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def move_above_sockets(descriptor: int, count: int, *, is_inheritable: bool = False) -> int:
    """Move a descriptor out of the way of ``count`` sockets of a program, and return its new number."""
    import fcntl  # `activation` has imported it

    command = fcntl.F_DUPFD if is_inheritable else fcntl.F_DUPFD_CLOEXEC
    # No higher than necessary, because the limit of open files can be low.
    moved = fcntl.fcntl(descriptor, command, FIRST_SOCKET + count)
    os.close(descriptor)
    return moved


def close_inherited(options: Options) -> None:
    """Close what only the program and its event handlers keep, so that their end can be seen."""
    close_if_open(options.exec_fd)
    for kept in (options.keep, *(handler.keep for handler in options.handlers.values())):
        for descriptor in kept:
            os.close(descriptor)


def close_if_open(descriptor: int) -> None:
    """Close a descriptor that an option may have named; -1 is none."""
    if descriptor >= 0:
        os.close(descriptor)


def close_others(kept_descriptors: Collection[int]) -> None:
    """Close every descriptor of this process that is not in ``kept``."""
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor not in kept_descriptors:
            try:
                os.close(descriptor)
            except OSError:  # the descriptor that listed the others
                pass


def inherit_only(inherited: Collection[int]) -> None:
    """Let programs that this process executes inherit descriptors 0 to 2 and ``inherited`` only."""
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor not in inherited:
            try:
                os.set_inheritable(descriptor, False)
            except OSError:  # the descriptor that listed the others
                pass


def give_to_program(descriptor: int, uid: int | None) -> None:
    """Make ``uid`` the owner of a stream, so that the program can open it by name; None changes nothing."""
    if uid is None:
        return
    try:
        os.fchown(descriptor, uid, -1)
    except OSError:  # the id is not mapped
        pass
