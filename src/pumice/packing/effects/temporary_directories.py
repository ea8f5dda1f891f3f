"""The effect that makes the directories for temporary files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.packing.effects.model import EffectInput, EffectResult, directory_entry

if TYPE_CHECKING:
    from pumice.packing.tree import GeneratedEntry


def create_temporary_directories(given: EffectInput) -> EffectResult:
    """Return the directories for temporary files, so that every image has them with the right mode."""
    if given.settings.base == "none":
        return EffectResult()
    wanted = (("tmp", 0o1777), ("var", 0o755), ("var/tmp", 0o1777), ("run", 0o755), ("root", 0o700))
    made: list[GeneratedEntry] = []
    for path, mode in wanted:
        node = given.tree.get(path)
        if node is None or (node.entry.kind == "dir" and path.endswith("tmp") and node.entry.mode != mode):
            made.append(directory_entry(path, "effect:temporary", mode=mode))
    return EffectResult(generated=tuple(made))
