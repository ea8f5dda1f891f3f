"""A virtual machine as stage 1: qemu with Debian's cloud kernel, and all files in its memory."""

from __future__ import annotations

import io
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import SandboxError, UsageError
from pumice.runtime import id_maps, tree_lookup
from pumice.runtime.guest import acceleration, initramfs, kernel
from pumice.runtime.guest.init_program import NAME_SERVER, PORTS, Guest, assemble_init
from pumice.runtime.guest.program_start import ROOT
from pumice.runtime.isolation import seccomp_filter
from pumice.runtime.stage1 import Start, external

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.runtime.container import Container, Mount

_MEMORY, _LEAST_MEMORY = 512 << 20, 128 << 20
_MODULES = ("virtio_pci", "virtio_console")
_OUTPUTS = ("stdout", "stderr", "status")
_NETWORK_MODULES = ("virtio_net",)
_APPEND = "quiet loglevel=0 panic=-1 random.trust_cpu=on no_timer_check tsc=reliable rdinit=/init"


class Kvm:
    """The stage 1 that runs a virtual machine, by KVM or, where that does not work, by emulation."""

    def start(self, container: Container, scratch: Path) -> Start:  # noqa: ARG002 - all in memory
        """Write the files of the machine; raises SandboxError if there is no qemu or no kernel."""
        if container.init or container.setup:
            raise UsageError("kvm has an init of its own", hint="omit --init, or use another --stage1")
        if os.uname().machine != "x86_64":
            raise SandboxError("kvm is only for x86-64 machines", hint="use another --stage1")
        qemu = external.find_program("qemu-system-x86_64", "qemu-system-x86")
        external.check_program(container)
        cache = Path(container.filters or container.root).with_name("guest")
        found = kernel.find_kernel(os.environ)
        image = os.open(kernel.unpack_kernel(found, cache), os.O_RDONLY | os.O_CLOEXEC)
        archive, size = _write_archive(container, found)
        outputs = [os.pipe() for _ in _OUTPUTS]
        control, machine_control = (end.detach() for end in socket.socketpair())
        kept = (image, archive, machine_control, *(writer for _, writer in outputs))
        readers = [reader for reader, _ in outputs]
        machine = _Machine(container, size, kept)
        accelerator = acceleration.choose(qemu, machine.kernel_path, cache)
        command = (qemu, *machine.options(), *accelerator)
        sandbox_options = (
            "--only-root",
            *(word for descriptor in kept for word in ("--keep", str(descriptor))),
            *(word for reader in readers for word in ("--guest-output", str(reader))),
            *("--guest-control", str(control)),
            *("--guest-name", container.process.arguments[0]),
            *id_maps.map_options(id_maps.choose_maps(container)),
        )
        return Start(sandbox_options, command, (*kept, *readers, control))

    def target(self, pid: int) -> int:
        """Return ``pid``, which forwards signals."""
        return pid

    def finish(self, code: int) -> int:
        """Return ``code``, which is that of the program."""
        return code

    def close(self) -> None:
        """Do nothing."""


class _Machine:
    """The command line of qemu."""

    def __init__(self, container: Container, archive_size: int, kept: tuple[int, ...]) -> None:
        self._container = container
        self._archive_size = archive_size
        self._kept = kept

    @property
    def kernel_path(self) -> str:
        return f"/proc/self/fd/{self._kept[0]}"

    def options(self) -> Iterator[str]:
        _, archive, control, *outputs = self._kept
        limits = self._container.machine
        memory = limits.memory or _MEMORY
        least = max(_LEAST_MEMORY, 2 * self._archive_size + (96 << 20))
        if limits.memory and memory < least:
            raise SandboxError(
                f"the virtual machine needs {-(-least >> 20)} MiB of --memory, for its files too",
                hint="raise --memory, or use another --stage1",
            )
        yield from ("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "pc")
        yield from ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
        yield from ("-m", str(-(-max(memory, least) >> 20)), "-smp", str(max(1, -(-limits.cpus // 1000))))
        yield from ("-kernel", self.kernel_path, "-initrd", f"/proc/self/fd/{archive}", "-append", _APPEND)
        yield from ("-device", f"virtio-serial-pci,addr=2,max_ports={len(PORTS) + 1}")
        paths = dict(zip(_OUTPUTS, outputs, strict=True))
        inputs = {"stdin": "stdio,id=stdin,signal=off", "control": f"socket,id=control,fd={control}"}
        for number, name in enumerate(PORTS, 1):
            if name in inputs:
                yield from ("-chardev", inputs[name])
            else:
                yield from ("-chardev", f"file,id={name},path=/proc/self/fd/{paths[name]},append=on")
            yield from ("-device", f"virtserialport,nr={number},chardev={name},name={name}")
        yield from self._network()

    def _network(self) -> Iterator[str]:
        if self._container.network == "none":
            return
        forwards = (
            f",hostfwd={protocol}::{number}-:{number}"
            for number, _, protocol in (port.partition("/") for port in self._container.ports)
        )
        yield from ("-netdev", f"user,id=net,ipv6=off{''.join(forwards)}")
        yield from ("-device", "virtio-net-pci,addr=3,netdev=net,romfile=")


def _write_archive(container: Container, found: kernel.Kernel) -> tuple[int, int]:
    """Return the descriptor of a memory file with all files of the machine, and its size."""
    has_network = container.network != "none"
    modules = kernel.read_modules(found, (*_MODULES, *(_NETWORK_MODULES if has_network else ())))
    placed, copies, directories = _place_mounts(container)
    guest = Guest(
        container=msgspec.structs.replace(container, mounts=_in_memory(container)),
        modules=len(modules),
        filter=seccomp_filter.load_filter(
            container.isolation, Path(container.filters) if container.filters else None
        ),
        has_network=has_network,
        read_only_paths=tuple(copies),
    )
    descriptor = os.memfd_create("initramfs", 0)
    with io.open(descriptor, "wb", closefd=False) as file:  # noqa: UP020 - a descriptor
        archive = initramfs.Archive(file)
        archive.add("init", stat.S_IFREG | 0o755, assemble_init(guest))
        archive.add_directories("dev")
        for number, module in enumerate(modules):
            archive.add_directories("modules")
            archive.add(f"modules/{number}.ko", stat.S_IFREG | 0o644, module)
        omit = {path[1:] for path in (*placed, *copies)} | {"proc", "sys", "dev"}
        owners = initramfs.read_owners(container.owners)
        initramfs.add_tree(archive, Path(container.root), "", owners, omit)
        for directory in ("/proc", "/sys", "/dev", *directories):
            archive.add_directories(f"{ROOT[1:]}{directory}")
        for path, text in placed.items():
            archive.add_directories(f"{ROOT[1:]}{Path(path).parent}".rstrip("/"))
            archive.add(f"{ROOT[1:]}{path}", stat.S_IFREG | 0o644, text)
        for path, source in copies.items():
            _add_copy(archive, source, path)
        return descriptor, archive.finish()


def _in_memory(container: Container) -> tuple[Mount, ...]:
    return tuple(mount for mount in container.mounts if not mount.source)


def _add_copy(archive: initramfs.Archive, source: str, path: str) -> None:
    """Add the copy of a volume."""
    status = Path(source).stat()
    owner = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
    archive.add_directories(f"{ROOT[1:]}{Path(path).parent}".rstrip("/"))
    archive.add_file(f"{ROOT[1:]}{path}", source, status, owner)
    if stat.S_ISDIR(status.st_mode):
        initramfs.add_tree(archive, Path(source), path, {}, set())


def _place_mounts(container: Container) -> tuple[dict[str, bytes], dict[str, str], list[str]]:
    """Return files with their content, copies of volumes with their source, and directories, by path."""
    texts = {f"{container.root}/{name}": text for name, text in container.files}
    placed: dict[str, bytes] = {}
    copies: dict[str, str] = {}
    directories = [_resolve(container, container.process.directory)]
    for mount in container.mounts:
        target = _resolve(container, mount.target)
        if not mount.source:
            directories.append(target)
        elif target == "/etc/resolv.conf" and container.network != "none":
            placed[target] = f"nameserver {NAME_SERVER}\n".encode()
        elif mount.source in texts:
            placed[target] = texts[mount.source].encode(errors="surrogateescape")
        else:
            copies[target] = mount.source
    if container.read_only:
        directories += ["/tmp", "/var/tmp", "/run"]
    return placed, copies, directories


def _resolve(container: Container, path: str) -> str:
    kernel_paths = ("/proc", "/sys", "/dev")
    target = tree_lookup.resolve_with_mounts(Path(container.root), path, dict.fromkeys(kernel_paths, ""))
    if target is None or any(f"{target}/".startswith(f"{known}/") for known in kernel_paths):
        raise SandboxError(
            f"kvm cannot use {path!r}: it leads to files of the kernel, or through too many links"
        )
    return target
