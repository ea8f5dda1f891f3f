"""Stage 1: the executors that isolate a program, behind one protocol.

The sandbox program (`pumice.runtime.sandbox`) starts every stage 1, and gives it a writable root in memory,
so that none leaves files behind. A stage 1 only plans; `pumice.runtime.launch` starts what it planned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pumice.errors import UsageError

if TYPE_CHECKING:
    from pumice.runtime.container import Container
    from pumice.runtime.launch.model import Launch

_ANY_ENGINE = "oci"
NAMES = ("builtin", "bwrap", _ANY_ENGINE, "runc", "crun", "fly", "kvm")


class Stage1(Protocol):
    """An executor that isolates a program."""

    def plan(self, container: Container) -> Launch:
        """Return how to start the container; raises SandboxError if this executor cannot work here."""


def resolve_name(name: str) -> str:
    """Return the name of the stage 1 that ``oci`` stands for on this machine, or ``name``."""
    if name != _ANY_ENGINE:
        return name
    from pumice.runtime.stage1.runc import choose_engine

    return choose_engine()


def choose(name: str) -> Stage1:
    """Return a stage 1 by name; raises UsageError for an unknown name."""
    name = resolve_name(name)
    if name == "builtin":
        from pumice.runtime.stage1.builtin import Builtin

        return Builtin()
    if name == "bwrap":
        from pumice.runtime.stage1.bwrap import Bwrap

        return Bwrap()
    if name == "kvm":
        from pumice.runtime.stage1.kvm import Kvm

        return Kvm()
    if name == "fly":
        from pumice.runtime.stage1.fly import Fly

        return Fly()
    if name in ("runc", "crun"):
        from pumice.runtime.stage1.runc import Runc

        return Runc(name)
    raise UsageError(f"unknown stage 1 {name!r}", hint=f"use one of {', '.join(NAMES)}")
