"""The files of the kernel that are hidden from programs, or read-only."""

from __future__ import annotations

import os
import stat

from pumice.runtime.sandbox.syscalls import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from pumice.runtime.sandbox.new_root import NewRoot

# The paths that OCI runtimes mask or make read-only by default.
MASKED_PATHS = (
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats"),
    *("/sys/firmware", "/sys/fs/selinux", "/sys/devices/virtual/powercap"),
    *("/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/security", "/sys/kernel/config"),
    *("/sys/fs/bpf", "/sys/fs/pstore", "/sys/fs/fuse/connections"),
)
READ_ONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_KINDS_SHOWN_BELOW_SYS = ("sysfs", "cgroup", "cgroup2", "tmpfs")


def list_masked_paths() -> list[str]:
    """Return `MASKED_PATHS` and the other mounts below /sys, such as debugfs, tracefs and bpf."""
    paths = list(MASKED_PATHS)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split(" ")
            path, kind = fields[4], fields[fields.index("-") + 1]
            if path.startswith("/sys/") and kind not in _KINDS_SHOWN_BELOW_SYS and "\\" not in path:
                paths.append(path)
    return [path for path in dict.fromkeys(paths) if not _is_below(path, paths)]


def _is_below(path: str, masked_paths: Sequence[str]) -> bool:
    return any(path.startswith(masked_path + "/") for masked_path in masked_paths)


def select_paths(paths: Iterable[str], unmasked: Collection[str]) -> list[str]:
    """Return the ``paths`` without those that are ``unmasked``; ``ALL`` stands for all of them."""
    return [path for path in paths if path not in unmasked and "ALL" not in unmasked]


def mask_paths(root: NewRoot, unmasked: Collection[str] = ()) -> None:
    """Hide the masked paths in ``root``, and make `READ_ONLY_PATHS` read-only, but for ``unmasked``."""
    for path in select_paths((*list_masked_paths(), *READ_ONLY_PATHS), unmasked):
        try:
            descriptor = root.open(path)
        except OSError:
            continue
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        if path in READ_ONLY_PATHS:
            root.bind(f"/proc/self/fd/{descriptor}", path, MS_RDONLY)
        elif is_directory:
            root.mount("tmpfs", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=0k")
        else:
            root.bind("/dev/null", path, MS_RDONLY | MS_NOSUID | MS_NOEXEC)
        os.close(descriptor)
