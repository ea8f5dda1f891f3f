"""Stage 1: what isolates the program. Three ways to do it, one seam.

Every stage 1 is reached through the sandbox's own file (`pumice.runtime.sandbox`), which gives it a
root to write to that exists in memory only, so that no way leaves anything behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from pumice.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.runtime.container import Container

NAMES = ("builtin", "bwrap", "runc", "crun")


class Start(msgspec.Struct, frozen=True):
    """How to start: options for the sandbox's file, the program it ends in, descriptors it inherits."""

    options: tuple[str, ...]
    program: tuple[str, ...]
    descriptors: tuple[int, ...] = ()


class Stage1(Protocol):
    """One way to isolate one program; an object of it serves one container, from start to close."""

    def start(self, container: Container, scratch: Path) -> Start:
        """Prepare; raises SandboxError when this way cannot work here. ``scratch`` may get a directory."""

    def target(self, pid: int) -> int:
        """Return which process gets the signals; ``pid`` is the one that was started."""

    def finish(self, code: int) -> int:
        """Return the program's exit code; raises SandboxError if it never began."""

    def close(self) -> None:
        """Remove whatever `start` made."""


def choose(name: str) -> Stage1:
    """Return a stage 1 by name; raises UsageError for one that does not exist."""
    if name == "builtin":
        from pumice.runtime.stage1.builtin import Builtin

        return Builtin()
    if name == "bwrap":
        from pumice.runtime.stage1.bwrap import Bwrap

        return Bwrap()
    if name in ("runc", "crun"):
        from pumice.runtime.stage1.runc import Runc

        return Runc(name)
    raise UsageError(f"there is no stage 1 {name!r}", hint=f"use one of {', '.join(NAMES)}")
