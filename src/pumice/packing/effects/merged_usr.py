"""The effect that creates the links of a merged ``/usr``: ``/bin`` to ``/usr/bin`` and so on."""

from __future__ import annotations

from pumice.packing.effects.model import EffectInput, EffectResult, link_entry

ORIGIN = "effect:merged-usr"
_ALIASED = ("bin", "lib", "sbin")


def link_merged_usr(inputs: EffectInput) -> EffectResult:
    """Return links into ``usr`` for the top-level directories that exist there.

    Links that a package ships (trixie) are kept. The directories of bookworm's packages are already
    left out of the segments.
    """
    tree = inputs.tree
    names = [name for name in _ALIASED if f"usr/{name}" in tree.nodes]
    optional_names = [name for name in ("lib64", "lib32", "libx32", "libo32") if f"usr/{name}" in tree.nodes]
    links = [
        link_entry(name, f"usr/{name}", ORIGIN)
        for name in (*names, *optional_names)
        if (node := tree.get(name)) is None or node.entry.kind != "symlink"
    ]
    return EffectResult(generated=tuple(links))
