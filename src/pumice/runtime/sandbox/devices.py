"""The device files of the program."""

from __future__ import annotations

import os
import stat

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.syscalls import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.runtime.sandbox.new_root import NewRoot
    from pumice.runtime.sandbox.options import Options

_NAMES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = (
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
)


def mount_devices(root: NewRoot, console: str, options: Options) -> None:
    """Set up /dev; ``console`` is the path of the terminal that becomes ``/dev/console``, if any.

    The nodes are those of the host, read-only so that their mode and owner cannot change.
    """
    root.mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755")
    for name in _NAMES:
        root.bind(f"/dev/{name}", f"/dev/{name}", MS_RDONLY | MS_NOSUID | MS_NOEXEC)
    if console:
        root.bind(console, "/dev/console", MS_RDONLY | MS_NOSUID | MS_NOEXEC)
    directory = root.open("/dev")
    for name, target in _LINKS:
        os.symlink(target, name, dir_fd=directory)
    os.close(directory)
    size = f",size={options.shm_size}" if options.shm_size else ""
    root.mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, f"mode=1777{size}")
    root.mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    for source, target in options.devices:
        root.bind(source, target, MS_RDONLY | MS_NOSUID | MS_NOEXEC)


def freeze_devices() -> None:
    """Make the devices read-only for an external program, which binds them into the root as they are."""
    for name in _NAMES:
        syscalls.mount(f"/dev/{name}", f"/dev/{name}", None, MS_BIND)
        node = os.open(f"/dev/{name}", os.O_PATH)
        syscalls.add_mount_flags(node, MS_RDONLY)
        os.close(node)


def is_device(status: os.stat_result) -> bool:
    """Return whether ``status`` is that of one of the program's devices."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev in _names_by_number(_NAMES)


def reopen_devices(streams: list[int]) -> None:
    """Reopen devices among ``streams`` by their names in the new root, where they are read-only.

    With a descriptor of the host's /dev/null, the program could change its mode.
    """
    names = _names_by_number([name for name in _NAMES if name != "tty"])
    for number, stream in enumerate(streams):
        try:
            status = os.fstat(stream)
        except OSError:  # the caller closed it
            continue
        if stat.S_ISCHR(status.st_mode) and status.st_rdev in names:
            streams[number] = os.open(f"/dev/{names[status.st_rdev]}", os.O_RDWR)


def _names_by_number(names: Iterable[str]) -> dict[int, str]:
    return {os.stat(f"/dev/{name}").st_rdev: name for name in names}
