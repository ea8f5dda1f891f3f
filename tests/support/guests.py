"""The virtual machine of the tests: qemu, and Debian's kernel, which `.ci/run` unpacks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import peers
from tests.support.people import Person

if TYPE_CHECKING:
    from collections.abc import Mapping


def need_kernel() -> str:
    """Return the directory with a kernel for guests; skip the test if qemu or the kernel is missing."""
    peers.need("qemu-system-x86_64")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pumice-peers" / "kernel"
    directory = os.environ.get("PUMICE_KERNEL") or str(cache)
    if not list(Path(directory).glob("boot/vmlinuz-*")):
        peers.absent(f"there is no kernel for virtual machines in {directory}")
    return directory


class PersonWithKernel(Person):
    """A person whose commands find a kernel for virtual machines."""

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return a small environment for a command."""
        return super().environment({"PUMICE_KERNEL": str(self.home / "kernel"), **(extra or {})})


def with_kernel(person: Person) -> PersonWithKernel:
    """Return a person with a kernel, which is copied to the home directory."""
    kernel = need_kernel()
    for name in ("boot", "lib"):
        shutil.copytree(Path(kernel) / name, person.home / "kernel" / name, symlinks=True)
    person.give(person.home)
    return PersonWithKernel(person.name, person.home, person.prefix, person.python, person.python_path)
