"""The effect that makes the links of a merged ``/usr`` (FHS 3.0)."""

from __future__ import annotations

from pumice.packing.effects.model import EffectInput, EffectResult, link_entry

BY = "effect:merged-usr"
_ALIASED = ("bin", "lib", "sbin")


def link_merged_usr(given: EffectInput) -> EffectResult:
    """Return ``bin``, ``sbin``, ``lib`` and where it exists ``lib64`` as links into ``usr``.

    The same links that a package of trixie ships are left to it; bookworm ships directories, which
    the core leaves out.
    """
    tree = given.tree
    names = [name for name in _ALIASED if f"usr/{name}" in tree.nodes]
    others = [name for name in ("lib64", "lib32", "libx32", "libo32") if f"usr/{name}" in tree.nodes]
    made = [
        link_entry(name, f"usr/{name}", BY)
        for name in (*names, *others)
        if (node := tree.get(name)) is None or node.entry.kind != "symlink"
    ]
    return EffectResult(generated=tuple(made))
