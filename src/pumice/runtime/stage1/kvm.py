"""A virtual machine as stage 1: qemu with Debian's cloud kernel, and all files in its memory."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import SandboxError, UsageError
from pumice.formats.lines import split_lines
from pumice.runtime import id_maps, tree_lookup
from pumice.runtime.container import Mount
from pumice.runtime.guest import acceleration, initramfs, kernel, sharing
from pumice.runtime.guest.init_program import DIRECTORIES, NAME_SERVER, assemble_init
from pumice.runtime.guest.model import Guest
from pumice.runtime.guest.program_start import ROOT, assemble_app
from pumice.runtime.launch import model
from pumice.runtime.launch.machine import MAX_APPS, share_options
from pumice.runtime.launch.model import Launch
from pumice.runtime.sandbox import guest_session
from pumice.runtime.sandbox.guest_files import SOCKET
from pumice.runtime.stage1 import external
from pumice.runtime.stage1.builtin import common_options, mount_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pumice.runtime.container import Container

_MEMORY, _LEAST_MEMORY = 512 << 20, 128 << 20
_MODULES = ("virtio_pci", "virtio_console")
_SHARING_MODULES = ("virtiofs",)
_NAME_SERVERS = "guest-resolv.conf"
_RESOLVER = "/etc/resolv.conf"
_NETWORK_MODULES = ("virtio_net",)
_PROGRAM = "/program"
_APPEND = "quiet loglevel=0 panic=-1 random.trust_cpu=on no_timer_check tsc=reliable rdinit=/init"


class Kvm:
    """The stage 1 that runs a virtual machine, by KVM or, where that does not work, by emulation."""

    def plan(self, container: Container) -> Launch:
        """Make the files of the machine; raises SandboxError if there is no qemu or no kernel."""
        server = sharing.find_server(container)
        container = _give_name_server(container)
        terminal = _choose_terminal(container)
        program, archive = _plan_machine((container,), (terminal,), shared=bool(server))
        if server:
            program += share_options(0, f"path={SOCKET}")
        options = (*common_options(container), *_sandbox_options(container, server, terminal))
        return Launch(model.MACHINE, options, program, settings=archive)

    def plan_pod(self, containers: Sequence[Container]) -> tuple[Launch, tuple[Launch, ...]]:
        """Return the machine of a pod of several apps, and its apps; raises as `plan`."""
        if len(containers) > MAX_APPS:
            raise SandboxError(
                f"kvm runs {MAX_APPS} apps of a pod at most", hint="use several pods, or another --stage1"
            )
        server = sharing.find_server(containers[0])
        if not server:
            raise SandboxError(
                "kvm runs pods of several apps only with virtiofsd, and subordinate ids unless you are root",
                hint="install virtiofsd or qemu-system-common, add yourself to /etc/subuid and /etc/subgid,"
                " or use another --stage1",
            )
        containers = tuple(map(_give_name_server, containers))
        terminals = [_choose_terminal(container) for container in containers]
        program, archive = _plan_machine(containers, terminals, shared=True)
        apps = tuple(
            Launch(
                model.MACHINE_APP,
                (*common_options(container), *_sandbox_options(container, server, terminal)),
                container.process.arguments,
            )
            for container, terminal in zip(containers, terminals, strict=True)
        )
        return Launch(model.MACHINE, (), program, settings=archive), apps


def _plan_machine(
    containers: Sequence[Container], terminals: Sequence[tuple[int, ...]], *, shared: bool
) -> tuple[tuple[str, ...], bytes]:
    """Return qemu with its kernel and options, and the archive with the files of the machine."""
    for container in containers:
        if container.init or container.setup:
            raise UsageError("kvm has an init of its own", hint="omit --init, or use another --stage1")
    if os.uname().machine != "x86_64":
        raise SandboxError("kvm is only for x86-64 machines", hint="use another --stage1")
    qemu = external.find_program("qemu-system-x86_64", "qemu-system-x86")
    for container in containers:
        external.check_program(container)
    cache = Path(containers[0].filters or containers[0].root).with_name("guest")
    guest_kernel = kernel.find_kernel(os.environ)
    image = str(kernel.unpack_kernel(guest_kernel, cache))
    archive = _make_archive(containers, guest_kernel, terminals, shared=shared)
    options = _machine_options(containers, len(archive), shared=shared)
    return (qemu, image, *options, *acceleration.choose(qemu, image, cache)), archive


def _choose_terminal(container: Container) -> tuple[int, ...]:
    """Return the streams that are a terminal of the program."""
    if container.terminal is None:
        return () if container.is_in_pod else guest_session.choose_terminal()
    return (0, 1, 2) if container.terminal else ()


def _sandbox_options(container: Container, server: str, terminal: tuple[int, ...]) -> Iterator[str]:
    yield from ("--only-root", "--guest-name", container.process.arguments[0])
    if terminal:
        yield from ("--guest-terminal", "".join(map(str, terminal)))
    maps = sharing.choose_maps(container) if server else None
    if maps is None:
        yield from id_maps.map_options(id_maps.choose_maps(container))
        return
    yield from id_maps.map_options(maps)
    yield from ("--guest-share", server, "--mount-volumes", "--cwd", container.process.directory)
    yield from mount_options(container)
    if container.owners and id_maps.can_set_owners(maps):
        yield from ("--owners", container.owners)


def _give_name_server(container: Container) -> Container:
    """Return the container with the name server of the machine's network, unless the user chose others."""
    own = [mount for mount in container.mounts if mount.target == _RESOLVER]
    if container.network == "none" or container.has_name_servers or len(own) > 1:  # or mounted another file
        return container
    kept = tuple(mount for mount in container.mounts if mount.target != _RESOLVER)
    return msgspec.structs.replace(
        container,
        files=(*container.files, (_NAME_SERVERS, _replace_name_servers(container, *own))),
        mounts=(*kept, Mount(f"{container.root}/{_NAME_SERVERS}", _RESOLVER, read_only=True)),
    )


def _replace_name_servers(container: Container, mount: Mount | None = None) -> str:
    """Return a resolv.conf with the name server of the machine's network instead of the host's."""
    texts = {f"{container.root}/{name}": text for name, text in container.files}
    text = texts.get(mount.source) if mount else ""
    if text is None and mount:
        text = Path(mount.source).read_text(encoding="utf-8", errors="surrogateescape")
    lines = [line for line in split_lines(text or "") if not line.strip().startswith("nameserver")]
    return "".join(f"{line}\n" for line in (*lines, f"nameserver {NAME_SERVER}"))


def _choose_memory(containers: Sequence[Container], archive_size: int) -> int:
    """Return the bytes of memory of a machine: those that its apps request, and the default for others."""
    limits = [container.machine.memory for container in containers]
    least = max(_LEAST_MEMORY, 2 * archive_size + (96 << 20))
    if all(limits) and sum(limits) < least:
        raise SandboxError(
            f"the virtual machine needs {-(-least >> 20)} MiB of --memory, for its files too",
            hint="raise --memory, or use another --stage1",
        )
    return max(sum(limits) + (0 if all(limits) else _MEMORY), least)


def _machine_options(containers: Sequence[Container], archive_size: int, *, shared: bool) -> Iterator[str]:
    """Yield the options of qemu that need no descriptors."""
    memory, container = _choose_memory(containers, archive_size), containers[0]
    yield from ("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot")
    megabytes = -(-memory >> 20)
    yield from sharing.machine_options(megabytes) if shared else ("-machine", "pc")
    yield from ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
    processors = -(-sum(each.machine.cpus for each in containers) // 1000)
    yield from ("-m", str(megabytes), "-smp", str(max(1, processors)))
    yield from ("-append", _APPEND)
    if container.network == "none":
        return
    forwards = (
        f",hostfwd={protocol}::{number}-:{number}"
        for number, _, protocol in (port.partition("/") for port in container.ports)
    )
    yield from ("-netdev", f"user,id=net,ipv6=off{''.join(forwards)}")
    yield from ("-device", "virtio-net-pci,addr=3,netdev=net,romfile=")


def _make_archive(
    containers: Sequence[Container],
    guest_kernel: kernel.Kernel,
    terminals: Sequence[tuple[int, ...]],
    *,
    shared: bool,
) -> bytes:
    """Return an archive with the first programs and modules; unless ``shared``, with all files of one app."""
    modules = _read_modules(containers[0], guest_kernel, shared=shared)
    placed, copies, directories = _place_mounts(containers[0]) if not shared else ({}, {}, [])
    guests = [
        Guest(
            container=msgspec.structs.replace(container, mounts=() if shared else _in_memory(container)),
            number=number,
            modules=len(modules),
            filter=external.load_filter(container),
            has_network=container.network != "none",
            read_only_paths=tuple(copies),
            is_shared=shared,
        )
        for number, container in enumerate(containers)
    ]
    programs = tuple(f"{_PROGRAM}{guest.number}" for guest in guests)
    with io.BytesIO() as file:
        archive = initramfs.Archive(file)
        archive.add("init", stat.S_IFREG | 0o755, assemble_init(guests[0], programs))
        for program, guest, terminal in zip(programs, guests, terminals, strict=True):
            archive.add(program[1:], stat.S_IFREG | 0o755, assemble_app(guest, terminal))
        for directory in DIRECTORIES:
            archive.add_directories(directory)
        for number, module in enumerate(modules):
            archive.add_directories("modules")
            archive.add(f"modules/{number}.ko", stat.S_IFREG | 0o644, module)
        if shared:
            archive.add_directories(ROOT[1:])
        else:
            _add_root(archive, containers[0], placed, copies, directories)
        archive.finish()
        return file.getvalue()


def _read_modules(container: Container, guest_kernel: kernel.Kernel, *, shared: bool) -> list[bytes]:
    """Return the modules that the machine of a container loads."""
    network = _NETWORK_MODULES if container.network != "none" else ()
    return kernel.read_modules(guest_kernel, (*_MODULES, *network, *(_SHARING_MODULES if shared else ())))


def _add_root(
    archive: initramfs.Archive,
    container: Container,
    placed: Mapping[str, bytes],
    copies: Mapping[str, str],
    directories: Iterable[str],
) -> None:
    """Add the root of the image, with files and copies of volumes in it."""
    omit = {path[1:] for path in (*placed, *copies)} | {"proc", "sys", "dev"}
    owners = initramfs.read_owners(container.owners)
    initramfs.add_tree(archive, Path(container.root), "", owners, omit)
    for directory in ("/proc", "/sys", "/dev", *directories):
        archive.add_directories(f"{ROOT[1:]}{directory}")
    for path, text in placed.items():
        _add_text(archive, text, path)
    for path, source in copies.items():
        _add_copy(archive, source, path)


def _in_memory(container: Container) -> tuple[Mount, ...]:
    return tuple(mount for mount in container.mounts if not mount.source)


def _add_text(archive: initramfs.Archive, text: bytes, path: str) -> None:
    """Add a file of the container that is not in the image."""
    archive.add_directories(f"{ROOT[1:]}{Path(path).parent}".rstrip("/"))
    archive.add(f"{ROOT[1:]}{path}", stat.S_IFREG | 0o644, text)


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
    if target is None or any(f"{target}/".startswith(f"{kernel_path}/") for kernel_path in kernel_paths):
        raise SandboxError(
            f"kvm cannot use {path!r}: it leads to files of the kernel, or through too many links"
        )
    return target
