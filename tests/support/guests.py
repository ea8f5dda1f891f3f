"""The virtual machine of the tests: qemu, and Debian's kernel, which `.ci/run` unpacks."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support import peers


def need_kernel() -> str:
    """Return the directory with a kernel for guests; skip the test if qemu or the kernel is missing."""
    peers.need("qemu-system-x86_64")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pumice-peers" / "kernel"
    directory = os.environ.get("PUMICE_KERNEL") or str(cache)
    if not list(Path(directory).glob("boot/vmlinuz-*")):
        peers.absent(f"there is no kernel for virtual machines in {directory}")
    return directory
