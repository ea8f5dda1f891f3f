"""The effect that makes ``/var/run`` and ``/var/lock`` links into ``/run`` (FHS 3.0, 5.9 and 5.13)."""

from __future__ import annotations

import msgspec

from pumice.packing.effects.model import EffectInput, EffectResult, link_entry
from pumice.packing.tree import GeneratedEntry

BY = "effect:merged-usr"
_MOVED = (("var/run", "run", "/run"), ("var/lock", "run/lock", "/run/lock"))


def link_var_run(given: EffectInput) -> EffectResult:
    """Return ``var/run`` and ``var/lock`` as links where a package ships directories.

    base-files' script makes them. What packages ship in them is moved to where it would be found.
    """
    generated: list[GeneratedEntry] = []
    removed: list[str] = []
    for old, new, target in _MOVED:
        node = given.tree.get(old)
        if node is None or node.entry.kind != "dir":
            continue
        inside = [path for path in given.tree.nodes if path.startswith(old + "/")]
        for path in sorted(inside):
            place = new + path[len(old) :]
            if place not in given.tree.nodes:
                generated.append(_copy(given, path, place))
            removed.append(path)
        generated.append(link_entry(old, target, BY))
    return EffectResult(generated=tuple(generated), removed=tuple(removed))


def _copy(given: EffectInput, path: str, place: str) -> GeneratedEntry:
    entry = given.tree.nodes[path].entry
    content = given.tree.read(path) if entry.kind == "file" else b""
    return GeneratedEntry(entry=msgspec.structs.replace(entry, path=place), content=content, origin=BY)
