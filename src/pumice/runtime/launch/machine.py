"""qemu: the files of its machine, and the sockets to its sessions."""

from __future__ import annotations

import os
import socket

from pumice.runtime.launch.model import Start
from pumice.runtime.sandbox import guest_frames, syscalls
from pumice.runtime.sandbox.descriptors import create_memory_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.runtime.launch.model import Launch

EXTRA_SESSIONS = 8
"""How many programs can run in a machine besides those that it was started for."""
_FIRST_SLOT = 4
MAX_APPS = 28
"""How many apps can have a device on the bus of a machine."""


class MachineEngine:
    """A virtual machine, whose program is the kernel; the sandbox waits for it."""

    def start(self, launch: Launch, scratch: str) -> Start:  # noqa: ARG002 - all in memory
        """Open the kernel, the files and the sockets."""
        return _open(launch, 1)

    def finish(self, code: int) -> int:
        """Return ``code``, which is that of the program."""
        return code

    def close(self) -> None:
        """Do nothing."""


class MachineAppEngine:
    """An app in the virtual machine of its pod; `open_pod` opens what it needs."""

    def start(self, launch: Launch, scratch: str) -> Start:  # noqa: ARG002 - all in memory
        """Open nothing."""
        return Start(launch.options, launch.program)

    def finish(self, code: int) -> int:
        """Return ``code``, which is that of the program."""
        return code

    def close(self) -> None:
        """Do nothing."""


def _open(launch: Launch, apps: int, shares: Sequence[int] = ()) -> Start:
    """Open the kernel, the files and the sockets of a machine with so many apps, with more descriptors."""
    qemu, kernel, *options = launch.program
    image = os.open(kernel, os.O_RDONLY | os.O_CLOEXEC)
    archive = create_memory_file(launch.settings)
    pairs = [socket.socketpair() for _ in range(apps + EXTRA_SESSIONS)]
    own, other = ([pair[side].detach() for pair in pairs] for side in (0, 1))
    kept = (image, archive, *other, *shares)
    command = (
        *(qemu, *options, "-kernel", f"/proc/self/fd/{image}", "-initrd", f"/proc/self/fd/{archive}"),
        *("-device", f"virtio-serial-pci,addr=2,max_ports={len(pairs) + 1}"),
        *(word for number, end in enumerate(other, 1) for word in _describe_port(number, end)),
        *(word for app, end in enumerate(shares) for word in share_options(app, f"fd={end}")),
    )
    sandbox_options = (
        *launch.options,
        *(word for descriptor in kept for word in ("--keep", str(descriptor))),
        *(word for port in own for word in ("--guest-port", str(port))),
    )
    return Start(sandbox_options, command, (*kept, *own))


def open_pod(launch: Launch, apps: int, directory: int) -> tuple[Start, list[Start]]:
    """Open the machine of a pod of several apps; return it, and what each app needs besides its launch.

    All can start in any order: qemu is connected to the sockets on which the apps will serve their files.
    ``directory`` is that of the pod.
    """
    shares, own_ends, parts = [], [], []
    for number in range(apps):
        listener, connection = _open_share(directory)
        own, other = (end.detach() for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        shares.append(connection)
        own_ends.append(own)
        words = ("--guest-share-fd", str(listener), "--guest-session", str(other), "--guest-app", str(number))
        parts.append(Start(words, (), (listener, other)))
    start = add_listener(_open(launch, apps, shares), directory)
    options = (*start.options, *(word for end in own_ends for word in ("--guest-client", str(end))))
    return Start(options, start.program, (*start.descriptors, *own_ends)), parts


def _open_share(directory: int) -> tuple[int, int]:
    """Return a listening socket, and the first connection to it; no other process can connect."""
    path = f"/proc/self/fd/{directory}/share"
    listener, connection = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    connection.connect(path)
    os.unlink(path)
    return listener.detach(), connection.detach()


def add_listener(start: Start, directory: int) -> Start:
    """Return the start of a machine in which further programs can be run, by a socket in a directory."""
    listener = syscalls.listen_at(f"/proc/self/fd/{directory}/{guest_frames.SOCKET}")
    options = (*start.options, "--guest-listener", str(listener))
    return Start(options, start.program, (*start.descriptors, listener), start.retained)


def _describe_port(number: int, descriptor: int) -> tuple[str, ...]:
    name = f"session.{number}"
    return (
        *("-chardev", f"socket,id={name},fd={descriptor}"),
        *("-device", f"virtserialport,nr={number},chardev={name},name={name}"),
    )


def share_options(app: int, address: str) -> tuple[str, ...]:
    """Return the options of qemu for the files of an app, which are served at ``address``."""
    device = f"vhost-user-fs-pci,addr={_FIRST_SLOT + app:x},queue-size=1024,chardev=share{app}"
    return ("-chardev", f"socket,id=share{app},{address}", "-device", f"{device},tag={tag_of(app)}")


def tag_of(app: int) -> str:
    """Return the name by which the machine mounts the files of an app."""
    return f"root{app}"
