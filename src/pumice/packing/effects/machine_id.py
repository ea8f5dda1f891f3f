"""The effect that creates an empty machine-id(5)."""

from __future__ import annotations

from pumice.packing.effects.model import EffectInput, EffectResult, file_entry

_NEEDS_MACHINE_ID = ("systemd", "dbus", "dbus-daemon")


def create_machine_id(inputs: EffectInput) -> EffectResult:
    """Return an empty machine-id(5), to be initialized at boot, if an installed package reads it."""
    names = {package.name for package in inputs.tree.packages if package.installed}
    if not names.intersection(_NEEDS_MACHINE_ID) or "etc/machine-id" in inputs.tree.nodes:
        return EffectResult()
    return EffectResult(generated=(file_entry("etc/machine-id", b"", "effect:machine-id"),))
