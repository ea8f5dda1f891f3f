"""The files of a virtual machine: virtiofsd shares the root with its volumes, and qemu connects to it."""

from __future__ import annotations

import os

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.descriptors import inherit_only
from pumice.runtime.sandbox.errors import SetupError
from pumice.runtime.sandbox.signals import release_signals
from pumice.runtime.sandbox.syscalls import MS_BIND, MS_NODEV, MS_NOSUID, MS_RDONLY, MS_REMOUNT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.sandbox.new_root import NewRoot
    from pumice.runtime.sandbox.options import Options

SOCKET = "share.sock"
"""Where qemu finds virtiofsd, in the working directory of both."""
ROOT = "root"
"""What is shared, there as well: the root of the container with its volumes."""
_BACKLOG = 1


def prepare_root(root: NewRoot, options: Options) -> None:
    """Create what the machine mounts its own file systems on, and make the root read-only if requested."""
    for path in ("/proc", "/sys", "/dev"):
        os.close(root.ensure(path, directory=True))
    if options.read_only:
        flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV
        syscalls.mount("none", ROOT, None, flags)


def start_server(options: Options) -> int:
    """Start virtiofsd, which reads and writes with the ids of this namespace; return its process id."""
    descriptor = options.guest_share_fd if options.guest_share_fd >= 0 else _listen()
    server = os.fork()
    if server == 0:
        syscalls.end_with_parent()
        os.setsid()  # keys that are typed go to the program in the machine
        os.set_inheritable(descriptor, True)
        inherit_only([descriptor])
        os.dup2(os.open("/dev/null", os.O_RDWR), 0)
        os.dup2(0, 1)
        if options.guest_share_fd >= 0:  # it complains in the log of the app when the machine ends first
            os.dup2(0, 2)
        release_signals()
        sharing = ("-o", f"source={os.getcwd()}/{ROOT}", "-o", "sandbox=chroot", "-o", "xattr")
        command = (options.guest_share, f"--fd={descriptor}", "--rlimit-nofile=0", *sharing)
        os.execv(command[0], (*command, "-o", "log_level=err"))
    os.close(descriptor)
    return server


def _listen() -> int:
    from _socket import AF_UNIX, SOCK_STREAM, socket

    listener = socket(AF_UNIX, SOCK_STREAM)
    try:
        listener.bind(SOCKET)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise SetupError(f"cannot share files with the virtual machine ({error.strerror})") from None
    return listener.detach()
