"""The effect that creates ``/tmp``, ``/var/tmp``, ``/run`` and ``/root``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.packing.effects.model import EffectInput, EffectResult, directory_entry

if TYPE_CHECKING:
    from pumice.packing.tree import GeneratedEntry


def create_temporary_directories(inputs: EffectInput) -> EffectResult:
    """Return the directories that are missing, and those for temporary files that have another mode."""
    if inputs.settings.base == "none":
        return EffectResult()
    directories = (("tmp", 0o1777), ("var", 0o755), ("var/tmp", 0o1777), ("run", 0o755), ("root", 0o700))
    entries: list[GeneratedEntry] = []
    for path, mode in directories:
        node = inputs.tree.get(path)
        if node is None or (node.entry.kind == "dir" and path.endswith("tmp") and node.entry.mode != mode):
            entries.append(directory_entry(path, "effect:temporary", mode=mode))
    return EffectResult(generated=tuple(entries))
