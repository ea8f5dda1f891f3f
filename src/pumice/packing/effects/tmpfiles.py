"""Directories and files that tmpfiles.d(5) asks for, except below ``/run`` and ``/tmp``.

What is below those is for whoever starts the container. Types ``d D v q Q`` (directories), ``f``,
``L``, ``C``, ``z`` and ``Z`` with literal paths; lines with specifiers are left out.
"""

from __future__ import annotations

import posixpath
import shlex
from typing import TYPE_CHECKING

import msgspec

from pumice.packing.effects.accounts import known_ids
from pumice.packing.effects.model import EffectInput, EffectResult
from pumice.packing.effects.overlay_tree import OverlayTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pumice.packing.tree import Tree

BY = "effect:tmpfiles"
_VOLATILE = ("/run", "/var/run", "/tmp", "/var/tmp", "/proc", "/sys", "/dev")  # noqa: S108 - never written


class Line(msgspec.Struct, frozen=True):
    """One line: type letter, whether it is for start-up only, path, mode, owner and argument."""

    kind: str
    path: str
    mode: int | None
    user: str
    group: str
    argument: str


def create_tmpfiles(given: EffectInput) -> EffectResult:
    """Return what systemd-tmpfiles would create in places that last."""
    canvas = OverlayTree(given.tree, BY)
    accounts, groups = known_ids(given.tree)
    users = {name: uid for name, (uid, _) in accounts.items()}
    report: list[tuple[str, str]] = []
    for owner, text in _files(given.tree):
        for line in parse(text):
            done = not _lasts(line.path) or _create(line, canvas, users, groups)
            report += () if done else ((owner, "tmpfiles"),)
    return EffectResult(
        generated=tuple(canvas.entries.values()), skipped_actions=tuple(dict.fromkeys(report))
    )


def parse(text: str) -> Iterable[Line]:
    """Yield the lines of a tmpfiles.d file that are understood."""
    for row in text.splitlines():
        try:
            fields = shlex.split(row, comments=True)
        except ValueError:
            continue
        if len(fields) < 2 or not fields[1].startswith("/") or "%" in fields[1]:
            continue
        if set("!^") & set(fields[0]) or "%" in "".join(fields[2:]):
            continue
        fields += ["-"] * (7 - len(fields))
        mode = fields[2].lstrip("~:")
        argument = "" if fields[6] == "-" else " ".join(fields[6:])
        yield Line(
            fields[0].rstrip("+-=~^$"),
            posixpath.normpath(fields[1]),
            int(mode, 8) if mode.isdecimal() and not set(mode) & set("89") and len(mode) < 6 else None,
            "" if fields[3] == "-" else fields[3].lstrip(":"),
            "" if fields[4] == "-" else fields[4].lstrip(":"),
            argument,
        )


def _lasts(path: str) -> bool:
    return not any(path == top or path.startswith(top + "/") for top in _VOLATILE)


def _files(tree: Tree) -> Iterable[tuple[str, str]]:
    """Yield the files that count, with their packages; one in /etc hides its namesake."""
    found: dict[str, str] = {}
    for folder in ("usr/lib/tmpfiles.d", "etc/tmpfiles.d"):
        found |= {path.rpartition("/")[2]: path for path in tree.children(folder) if path.endswith(".conf")}
    for name in sorted(found):
        if tree.is_file(found[name]):
            yield tree.nodes[found[name]].owner, tree.read(found[name]).decode("utf-8", "replace")


def _create(line: Line, canvas: OverlayTree, users: Mapping[str, int], groups: Mapping[str, int]) -> bool:
    uid, gid = _id(line.user, users), _id(line.group, groups)
    action = _ACTIONS.get(line.kind)
    if uid is None or gid is None or (action is None and line.kind not in _IGNORED):
        return False
    return action is None or action(line, canvas, uid, gid)


def _directory(line: Line, canvas: OverlayTree, uid: int, gid: int) -> bool:
    mode = 0o755 if line.mode is None else line.mode
    return canvas.make_directory(line.path) and canvas.change_attributes(
        line.path, mode=mode, uid=uid, gid=gid
    )


def _file(line: Line, canvas: OverlayTree, uid: int, gid: int) -> bool:
    if canvas.exists(line.path) and line.kind == "f":
        return True
    try:
        content = line.argument.encode("latin-1", "backslashreplace").decode("unicode_escape").encode()
    except UnicodeError:
        return False
    mode = 0o644 if line.mode is None else line.mode
    return (
        canvas.make_directory(posixpath.dirname(line.path))
        and canvas.write_file(line.path, content)
        and canvas.change_attributes(line.path, mode=mode, uid=uid, gid=gid)
    )


def _link(line: Line, canvas: OverlayTree, _uid: int, _gid: int) -> bool:
    if canvas.exists(line.path):
        return True
    target = line.argument or f"/usr/share/factory{line.path}"
    return canvas.make_directory(posixpath.dirname(line.path)) and canvas.make_symlink(line.path, target)


def _change(line: Line, canvas: OverlayTree, uid: int, gid: int) -> bool:
    if not canvas.exists(line.path):
        return True
    owned = line.user or line.group
    return canvas.change_attributes(
        line.path, mode=line.mode, uid=uid if owned else None, gid=gid if owned else None
    )


def _copy(line: Line, canvas: OverlayTree, _uid: int, _gid: int) -> bool:
    source = line.argument or f"/usr/share/factory{line.path}"
    if canvas.exists(line.path) or canvas.entry(source) is None:
        return True
    content, entry = canvas.read(source), canvas.entry(source)
    if content is None or entry is None or not canvas.make_directory(posixpath.dirname(line.path)):
        return False
    return canvas.write_file(line.path, content, entry.mode if line.mode is None else line.mode)


_ACTIONS: dict[str, Callable[[Line, OverlayTree, int, int], bool]] = {
    **dict.fromkeys("dDvqQ", _directory),
    "f": _file,
    "F": _file,
    "L": _link,
    "C": _copy,
    "z": _change,
    "Z": _change,
}
_IGNORED = "rRxXhHaAtTmeb"
"""Clean-up, attributes that no package needs, and devices."""


def _id(name: str, ids: Mapping[str, int]) -> int | None:
    if not name or name == "root":
        return 0
    return int(name) if name.isdecimal() and len(name) < 10 else ids.get(name)
