"""Small trees written and shown as text.

A tree is a mapping of paths: ``usr/bin/`` is a directory, ``"-> x"`` a symbolic link, anything else
a file's content. What effects make is shown one line an entry: mode, owner, path and what it is.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pumice.formats.tar import Entry
from pumice.packing.effects.model import EffectInput, EffectSettings
from pumice.packing.effects.scripts.action import ScriptAction
from pumice.packing.effects.scripts.maintainer_scripts import collect_actions
from pumice.packing.tree import Node, PackageFacts, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pumice.formats.elf import SharedObject
    from pumice.packing.tree import GeneratedEntry

PASSWD = "root:*:0:0:root:/root:/bin/bash\nwww-data:*:33:33:www-data:/var/www:/usr/sbin/nologin\n"
GROUP = "root:*:0:\nadm:*:4:\nmail:*:8:\nwww-data:*:33:\nshadow:*:42:\nnogroup:*:65534:\n"
BASE = {"usr/share/base-passwd/passwd.master": PASSWD, "usr/share/base-passwd/group.master": GROUP}


def tree(
    paths: Mapping[str, str | bytes],
    packages: Sequence[PackageFacts] = (),
    *,
    owner: str = "pkg",
    elf: Mapping[str, SharedObject] | None = None,
) -> Tree:
    """Return a tree with the parents of all ``paths``, owned by root."""
    nodes: dict[str, Node] = {}
    contents: dict[str, bytes] = {}
    for path, what in paths.items():
        name = path.rstrip("/")
        if path.endswith("/"):
            entry = Entry(name, "dir", int(what, 8) if what else 0o755)
        elif isinstance(what, str) and what.startswith("-> "):
            entry = Entry(name, "symlink", 0o777, link=what[3:])
        else:
            contents[name] = what.encode() if isinstance(what, str) else what
            mode = 0o755 if "/bin/" in f"/{name}" or "/sbin/" in f"/{name}" else 0o644
            entry = Entry(name, "file", mode, size=len(contents[name]))
        nodes[name] = Node(entry, owner, (elf or {}).get(name))
        parent = posixpath.dirname(name)
        while parent and parent not in nodes:
            nodes[parent] = Node(Entry(parent, "dir", 0o755), owner)
            parent = posixpath.dirname(parent)
    return Tree(nodes, contents.__getitem__, packages)


def package(name: str, version: str = "1", **more: str) -> PackageFacts:
    """Return a package; a script is one of ``more`` (``postinst=...``)."""
    files = {key: value.encode() for key, value in more.items()}
    for script in ("preinst", "postinst"):
        if script in files and not files[script].startswith(b"#!"):
            files[script] = b"#!/bin/sh\nset -e\n" + files[script]
    return PackageFacts(
        name=name,
        version=version,
        architecture="amd64",
        fields={"Package": name, "Version": version, "Architecture": "amd64", "Description": name},
        files=files,
    )


def given(tree: Tree, settings: EffectSettings | None = None) -> EffectInput:
    """Return what an effect is given for ``tree``."""
    settings = settings or EffectSettings(architecture="amd64")
    taken: dict[str, tuple[ScriptAction, ...]] = collect_actions(
        tree, settings.architecture, settings.format
    )[0]
    return EffectInput(tree, settings, taken)


def shown(generated: Iterable[GeneratedEntry], *, content: bool = False) -> str:
    """Return ``MODE UID:GID PATH`` for each entry, sorted; with ``content`` what files hold."""
    lines: list[str] = []
    for item in sorted(generated, key=lambda item: item.entry.path):
        entry = item.entry
        head = f"{entry.mode:04o} {entry.uid}:{entry.gid} {entry.path}"
        if entry.kind == "symlink":
            lines.append(f"{entry.path} -> {entry.link}")
        elif entry.kind == "dir":
            lines.append(f"{head}/")
        else:
            lines.append(f"{head} {item.content.decode()!r}" if content else head)
    return "\n".join(lines)
