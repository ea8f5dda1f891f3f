"""qemu: the files of its machine, and the sockets to its sessions."""

from __future__ import annotations

import os
import socket

from pumice.runtime.launch.model import Start
from pumice.runtime.sandbox import guest_frames, syscalls
from pumice.runtime.sandbox.descriptors import create_memory_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.launch.model import Launch

EXTRA_SESSIONS = 8
"""How many programs can run in a machine besides those that it was started for."""


class MachineEngine:
    """A virtual machine, whose program is the kernel; the sandbox waits for it."""

    def start(self, launch: Launch, scratch: str) -> Start:  # noqa: ARG002 - all in memory
        """Open the kernel, the files and the sockets."""
        qemu, kernel, *options = launch.program
        image = os.open(kernel, os.O_RDONLY | os.O_CLOEXEC)
        archive = create_memory_file(launch.settings)
        pairs = [socket.socketpair() for _ in range(1 + EXTRA_SESSIONS)]
        own, other = ([pair[side].detach() for pair in pairs] for side in (0, 1))
        kept = (image, archive, *other)
        command = (
            *(qemu, *options, "-kernel", f"/proc/self/fd/{image}", "-initrd", f"/proc/self/fd/{archive}"),
            *("-device", f"virtio-serial-pci,addr=2,max_ports={len(pairs) + 1}"),
            *(word for number, end in enumerate(other, 1) for word in _describe_port(number, end)),
        )
        sandbox_options = (
            *launch.options,
            *(word for descriptor in kept for word in ("--keep", str(descriptor))),
            *(word for port in own for word in ("--guest-port", str(port))),
        )
        return Start(sandbox_options, command, (*kept, *own))

    def finish(self, code: int) -> int:
        """Return ``code``, which is that of the program."""
        return code

    def close(self) -> None:
        """Do nothing."""


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
