"""qemu: the files of its machine, and the pipes to it."""

from __future__ import annotations

import os
import socket

from pumice.runtime.launch.model import Start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.runtime.launch.model import Launch

PORTS = ("stdin", "stdout", "stderr", "control", "status")
"""The serial ports, in the order of their numbers, which start at 1."""
_OUTPUTS = ("stdout", "stderr", "status")


class MachineEngine:
    """A virtual machine, whose program is the kernel; the sandbox waits for it."""

    def start(self, launch: Launch, scratch: str) -> Start:  # noqa: ARG002 - all in memory
        """Open the kernel, the files and the pipes."""
        qemu, kernel, *options = launch.program
        image = os.open(kernel, os.O_RDONLY | os.O_CLOEXEC)
        archive = _create_memory_file(launch.settings)
        pipes = [os.pipe() for _ in _OUTPUTS]
        control, machine_control = (end.detach() for end in socket.socketpair())
        kept = (image, archive, machine_control, *(writer for _, writer in pipes))
        readers = [reader for reader, _ in pipes]
        writers = dict(zip(_OUTPUTS, (writer for _, writer in pipes), strict=True))
        command = (
            *(qemu, *options, "-kernel", f"/proc/self/fd/{image}", "-initrd", f"/proc/self/fd/{archive}"),
            *_ports(writers, machine_control),
        )
        sandbox_options = (
            *launch.options,
            *(word for descriptor in kept for word in ("--keep", str(descriptor))),
            *(word for reader in readers for word in ("--guest-output", str(reader))),
            *("--guest-control", str(control)),
        )
        return Start(sandbox_options, command, (*kept, *readers, control))

    def finish(self, code: int) -> int:
        """Return ``code``, which is that of the program."""
        return code

    def close(self) -> None:
        """Do nothing."""


def _ports(writers: dict[str, int], control: int) -> Iterator[str]:
    inputs = {"stdin": "stdio,id=stdin,signal=off", "control": f"socket,id=control,fd={control}"}
    for number, name in enumerate(PORTS, 1):
        if name in inputs:
            yield from ("-chardev", inputs[name])
        else:
            yield from ("-chardev", f"file,id={name},path=/proc/self/fd/{writers[name]},append=on")
        yield from ("-device", f"virtserialport,nr={number},chardev={name},name={name}")


def _create_memory_file(data: bytes) -> int:
    descriptor = os.memfd_create("initramfs", 0)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    return descriptor
