"""Whether KVM works on this machine; that its device exists or opens proves nothing."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from pumice.ownership import make_directories

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SECONDS = 5
EMULATION = ("-accel", "tcg,tb-size=256", "-cpu", "max")
HARDWARE = ("-accel", "kvm", "-cpu", "host")


def choose(qemu: str, kernel: str, cache: Path) -> tuple[str, ...]:
    """Return the options of qemu for KVM if a guest starts with it, else those for emulation.

    The answer is kept in ``cache`` until the next boot. ``kernel`` is the path of the kernel.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return EMULATION
    boot = ""
    with suppress(OSError):
        boot = _BOOT.read_text().strip()
    answer = cache / f"kvm-{boot}-{os.geteuid()}"
    if not answer.exists():
        with suppress(OSError):
            make_directories(cache)
            for old in cache.glob(f"kvm-*-{os.geteuid()}"):
                old.unlink()
            answer.write_text("yes" if _starts_guest(qemu, kernel) else "no")
    with suppress(OSError):
        return HARDWARE if answer.read_text() == "yes" else EMULATION
    return EMULATION


def _starts_guest(qemu: str, kernel: str) -> bool:
    """Return whether a kernel without a first program panics, and so ends qemu, within the time."""
    command = [
        *(qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "pc"),
        *("-m", "128", "-kernel", kernel, "-append", "quiet panic=-1", *HARDWARE),
    ]
    try:
        process = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return process.returncode == 0
