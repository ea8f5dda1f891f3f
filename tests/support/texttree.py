"""Small trees, packages and effect inputs from text, and generated entries as text.

In a mapping of paths ``usr/bin/`` is a directory, ``"-> x"`` the target of a symbolic link, and any
other value the content of a file.
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
    """Return a tree of ``paths`` and their parents, owned by root."""
    nodes: dict[str, Node] = {}
    contents: dict[str, bytes] = {}
    for path, content in paths.items():
        name = path.rstrip("/")
        if path.endswith("/"):
            entry = Entry(name, "dir", int(content, 8) if content else 0o755)
        elif isinstance(content, str) and content.startswith("-> "):
            entry = Entry(name, "symlink", 0o777, link=content[3:])
        else:
            contents[name] = content.encode() if isinstance(content, str) else content
            mode = 0o755 if "/bin/" in f"/{name}" or "/sbin/" in f"/{name}" else 0o644
            entry = Entry(name, "file", mode, size=len(contents[name]))
        nodes[name] = Node(entry, owner, (elf or {}).get(name))
        parent = posixpath.dirname(name)
        while parent and parent not in nodes:
            nodes[parent] = Node(Entry(parent, "dir", 0o755), owner)
            parent = posixpath.dirname(parent)
    return Tree(nodes, contents.__getitem__, packages)


def package(name: str, version: str = "1", **control_files: str) -> PackageFacts:
    """Return a package with ``control_files`` such as ``postinst=...``."""
    files = {key: value.encode() for key, value in control_files.items()}
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


def effect_input(tree: Tree, settings: EffectSettings | None = None) -> EffectInput:
    """Return the input of an effect for ``tree`` and the scripts of its packages."""
    settings = settings or EffectSettings(architecture="amd64")
    script_actions: dict[str, tuple[ScriptAction, ...]] = collect_actions(
        tree, settings.architecture, settings.format
    )[0]
    return EffectInput(tree, settings, script_actions)


def format_entries(generated: Iterable[GeneratedEntry], *, with_content: bool = False) -> str:
    """Return ``MODE UID:GID PATH`` for each entry, sorted by path, optionally with the content of files."""
    lines: list[str] = []
    for generated_entry in sorted(generated, key=lambda generated_entry: generated_entry.entry.path):
        entry = generated_entry.entry
        prefix = f"{entry.mode:04o} {entry.uid}:{entry.gid} {entry.path}"
        if entry.kind == "symlink":
            lines.append(f"{entry.path} -> {entry.link}")
        elif entry.kind == "dir":
            lines.append(f"{prefix}/")
        else:
            lines.append(f"{prefix} {generated_entry.content.decode()!r}" if with_content else prefix)
    return "\n".join(lines)
