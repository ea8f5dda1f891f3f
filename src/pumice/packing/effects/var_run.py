"""The effect that makes ``/var/run`` and ``/var/lock`` links into ``/run`` (FHS 3.0, 5.9 and 5.13)."""

from __future__ import annotations

import msgspec

from pumice.packing.effects.model import EffectInput, EffectResult, link_entry
from pumice.packing.tree import GeneratedEntry

ORIGIN = "effect:merged-usr"
_MOVED = (("var/run", "run", "/run"), ("var/lock", "run/lock", "/run/lock"))


def link_var_run(inputs: EffectInput) -> EffectResult:
    """Return ``var/run`` and ``var/lock`` as links, if a package ships directories at these paths.

    base-files' script does the same. Files that packages ship in them move to the links' targets.
    """
    generated: list[GeneratedEntry] = []
    removed_paths: list[str] = []
    for old_path, new_path, target in _MOVED:
        node = inputs.tree.get(old_path)
        if node is None or node.entry.kind != "dir":
            continue
        children = [path for path in inputs.tree.nodes if path.startswith(old_path + "/")]
        for path in sorted(children):
            moved_path = new_path + path[len(old_path) :]
            if moved_path not in inputs.tree.nodes:
                generated.append(_move_entry(inputs, path, moved_path))
            removed_paths.append(path)
        generated.append(link_entry(old_path, target, ORIGIN))
    return EffectResult(generated=tuple(generated), removed_paths=tuple(removed_paths))


def _move_entry(inputs: EffectInput, path: str, new_path: str) -> GeneratedEntry:
    entry = inputs.tree.nodes[path].entry
    content = inputs.tree.read(path) if entry.kind == "file" else b""
    return GeneratedEntry(entry=msgspec.structs.replace(entry, path=new_path), content=content, origin=ORIGIN)
