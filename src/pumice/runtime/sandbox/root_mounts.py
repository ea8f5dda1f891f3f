"""The mounts of the new root, and the change to it."""

from __future__ import annotations

import os

from pumice.runtime.sandbox import devices, masked_paths, syscalls
from pumice.runtime.sandbox.errors import SetupError
from pumice.runtime.sandbox.syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REMOUNT,
)
from pumice.runtime.sandbox.writable_root import mount_writable_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.sandbox.new_root import NewRoot
    from pumice.runtime.sandbox.options import Options

_SCRATCH_DIRECTORIES = (("/tmp", "1777"), ("/var/tmp", "1777"), ("/run", "0755"))
"""Directories that stay writable in a read-only root, and their modes."""


def change_root(options: Options, console: str) -> None:
    """Set up the new root with all its mounts, and leave the old root.

    ``console`` is the path of the terminal that becomes ``/dev/console``, if any.
    """
    root = mount_writable_root(options)
    if options.fly:
        for path in ("/proc", "/sys", "/dev"):
            root.bind(path, path, 0)
    else:
        _mount_kernel_files(root, options, console)
    mount_volumes(root, options)
    os.fchdir(root.descriptor)
    if options.read_only:
        syscalls.mount("none", ".", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    syscalls.enter_root()


def _mount_kernel_files(root: NewRoot, options: Options, console: str) -> None:
    root.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    _set_sysctls(root, options)
    root.bind("/sys", "/sys", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    devices.mount_devices(root, console, options)
    masked_paths.mask_paths(root, options.unmasked)


def _set_sysctls(root: NewRoot, options: Options) -> None:
    for name, value in options.sysctls:
        try:
            node = root.open("/proc/sys/" + name.replace(".", "/"))
            with open(f"/proc/self/fd/{node}", "w") as file:
                file.write(value)
            os.close(node)
        except OSError as error:
            raise SetupError(f"cannot set the sysctl {name} to {value} ({error.strerror})") from None


def mount_volumes(root: NewRoot, options: Options) -> None:
    """Mount the volumes, and create the working directory; raises SetupError."""
    root.protect_kernel_files()
    for path, mode in _SCRATCH_DIRECTORIES if options.read_only else ():
        root.mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode}")
    for kind, source, target in options.mounts:
        if kind in ("tmpfs", "noexec_tmpfs"):
            no_exec = MS_NOEXEC if kind == "noexec_tmpfs" else 0
            root.mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV | no_exec, source or "mode=1777")
        else:
            flags = MS_NOSUID | MS_NODEV | (MS_RDONLY if kind.endswith("ro_bind") else 0)
            if kind.startswith("cloned"):
                root.attach(int(source), target, flags)
            else:
                root.bind(source, target, flags, recursive=not kind.startswith("flat"))
    os.close(root.ensure(options.cwd, directory=True))
