"""The effect that creates the files and directories of tmpfiles.d(5), except in volatile directories.

Those below ``/run`` and ``/tmp`` are created when a container starts. The types ``d D v q Q``
(directories), ``f``, ``L``, ``C``, ``z`` and ``Z`` with literal paths are supported; lines with
specifiers are skipped.
"""

from __future__ import annotations

import posixpath
import shlex
from typing import TYPE_CHECKING

import msgspec

from pumice.formats.lines import split_lines
from pumice.packing.effects.account_ids import AccountIds, read_account_ids
from pumice.packing.effects.model import EffectInput, EffectResult
from pumice.packing.effects.overlay_tree import OverlayTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pumice.packing.tree import Tree

ORIGIN = "effect:tmpfiles"
_VOLATILE = ("/run", "/var/run", "/tmp", "/var/tmp", "/proc", "/sys", "/dev")  # noqa: S108 - compared with, never opened


class TmpfilesLine(msgspec.Struct, frozen=True):
    """A line of a tmpfiles.d file; ``kind`` is the type letter without modifiers."""

    kind: str
    path: str
    mode: int | None
    user: str
    group: str
    argument: str


def create_tmpfiles(inputs: EffectInput) -> EffectResult:
    """Return what systemd-tmpfiles(8) would create outside of volatile directories."""
    overlay = OverlayTree(inputs.tree, ORIGIN)
    accounts = read_account_ids(inputs.tree)
    skipped_actions: list[tuple[str, str]] = []
    for package, text in configuration_files(inputs.tree):
        for line in parse_tmpfiles(text):
            is_done = not _is_persistent(line.path) or _apply_line(line, overlay, accounts)
            skipped_actions += () if is_done else ((package, "tmpfiles"),)
    return EffectResult(
        generated=tuple(overlay.entries.values()), skipped_actions=tuple(dict.fromkeys(skipped_actions))
    )


def parse_tmpfiles(text: str) -> Iterable[TmpfilesLine]:
    """Yield the supported lines of a tmpfiles.d file."""
    for row in split_lines(text):
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
        yield TmpfilesLine(
            fields[0].rstrip("+-=~^$"),
            posixpath.normpath(fields[1]),
            int(mode, 8) if mode.isdecimal() and not set(mode) & set("89") and len(mode) < 6 else None,
            "" if fields[3] == "-" else fields[3].lstrip(":"),
            "" if fields[4] == "-" else fields[4].lstrip(":"),
            argument,
        )


def _is_persistent(path: str) -> bool:
    return not any(path == top or path.startswith(top + "/") for top in _VOLATILE)


def configuration_files(tree: Tree) -> Iterable[tuple[str, str]]:
    """Yield (package, content) of each tmpfiles.d file; a file in ``/etc`` overrides its namesake."""
    paths_by_name: dict[str, str] = {}
    for directory in ("usr/lib/tmpfiles.d", "etc/tmpfiles.d"):
        paths_by_name |= {
            path.rpartition("/")[2]: path for path in tree.children(directory) if path.endswith(".conf")
        }
    for name in sorted(paths_by_name):
        if tree.is_file(paths_by_name[name]):
            yield (
                tree.nodes[paths_by_name[name]].owner,
                tree.read(paths_by_name[name]).decode("utf-8", "replace"),
            )


def _apply_line(line: TmpfilesLine, overlay: OverlayTree, accounts: AccountIds) -> bool:
    action = _LINE_TYPES.get(line.kind)
    try:
        uid = accounts.find_user(line.user or "0")
        gid = accounts.find_group(line.group or "0")
    except ValueError:
        return False
    if action is None and line.kind not in _IGNORED_TYPES:
        return False
    return action is None or action(line, overlay, uid, gid)


def _create_directory(line: TmpfilesLine, overlay: OverlayTree, uid: int, gid: int) -> bool:
    mode = 0o755 if line.mode is None else line.mode
    return overlay.make_directory(line.path) and overlay.change_attributes(
        line.path, mode=mode, uid=uid, gid=gid
    )


def _create_file(line: TmpfilesLine, overlay: OverlayTree, uid: int, gid: int) -> bool:
    if overlay.exists(line.path) and line.kind == "f":
        return True
    try:
        content = line.argument.encode("latin-1", "backslashreplace").decode("unicode_escape").encode()
    except UnicodeError:
        return False
    mode = 0o644 if line.mode is None else line.mode
    return (
        overlay.make_directory(posixpath.dirname(line.path))
        and overlay.write_file(line.path, content)
        and overlay.change_attributes(line.path, mode=mode, uid=uid, gid=gid)
    )


def _create_link(line: TmpfilesLine, overlay: OverlayTree, _uid: int, _gid: int) -> bool:
    if overlay.exists(line.path):
        return True
    target = line.argument or f"/usr/share/factory{line.path}"
    return overlay.make_directory(posixpath.dirname(line.path)) and overlay.make_symlink(line.path, target)


def _change_attributes(line: TmpfilesLine, overlay: OverlayTree, uid: int, gid: int) -> bool:
    if not overlay.exists(line.path):
        return True
    owned = line.user or line.group
    return overlay.change_attributes(
        line.path, mode=line.mode, uid=uid if owned else None, gid=gid if owned else None
    )


def _copy_file(line: TmpfilesLine, overlay: OverlayTree, _uid: int, _gid: int) -> bool:
    source = line.argument or f"/usr/share/factory{line.path}"
    if overlay.exists(line.path) or overlay.entry(source) is None:
        return True
    content, entry = overlay.read(source), overlay.entry(source)
    if content is None or entry is None or not overlay.make_directory(posixpath.dirname(line.path)):
        return False
    return overlay.write_file(line.path, content, entry.mode if line.mode is None else line.mode)


_LINE_TYPES: dict[str, Callable[[TmpfilesLine, OverlayTree, int, int], bool]] = {
    **dict.fromkeys("dDvqQ", _create_directory),
    "f": _create_file,
    "F": _create_file,
    "L": _create_link,
    "C": _copy_file,
    "z": _change_attributes,
    "Z": _change_attributes,
}
_IGNORED_TYPES = "rRxXhHaAtTmeb"
"""Types for clean-up, for attributes that no package needs, and for devices."""
