"""The links of a merged ``/usr``, and ``/var/run`` and ``/var/lock`` (FHS 3.0, 5.9 and 5.13)."""

from __future__ import annotations

import msgspec

from pumice.packing.effects.model import Given, Result, link
from pumice.packing.tree import Generated

BY = "effect:merged-usr"
_ALIASED = ("bin", "lib", "sbin")
_MOVED = (("var/run", "run", "/run"), ("var/lock", "run/lock", "/run/lock"))


def merged_usr(given: Given) -> Result:
    """Return ``bin``, ``sbin``, ``lib`` and where it exists ``lib64`` as links into ``usr``.

    The same links that a package of trixie ships are left to it; bookworm ships directories, which
    the core leaves out.
    """
    tree = given.tree
    names = [name for name in _ALIASED if f"usr/{name}" in tree.nodes]
    others = [name for name in ("lib64", "lib32", "libx32", "libo32") if f"usr/{name}" in tree.nodes]
    made = [
        link(name, f"usr/{name}", BY)
        for name in (*names, *others)
        if (node := tree.get(name)) is None or node.entry.kind != "symlink"
    ]
    return Result(generated=tuple(made))


def moved_run(given: Given) -> Result:
    """Return ``var/run`` and ``var/lock`` as links where a package ships directories.

    base-files' script makes them. What packages ship in them is moved to where it would be found.
    """
    generated: list[Generated] = []
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
        generated.append(link(old, target, BY))
    return Result(generated=tuple(generated), removed=tuple(removed))


def _copy(given: Given, path: str, place: str) -> Generated:
    entry = given.tree.nodes[path].entry
    content = given.tree.read(path) if entry.kind == "file" else b""
    return Generated(entry=msgspec.structs.replace(entry, path=place), content=content, by=BY)
