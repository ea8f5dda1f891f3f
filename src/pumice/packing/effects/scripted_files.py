"""Files, links and attributes that the packages' scripts and a data table ask for.

Only commands that a fresh installation is certain to run, with literal operands, are done; the
others go into the report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.packing.effects.accounts import known_ids
from pumice.packing.effects.model import EffectInput, EffectResult, file_entry, parse_table, read_data
from pumice.packing.effects.overlay_tree import OverlayTree
from pumice.packing.effects.scripts.action_runner import run_actions
from pumice.packing.effects.scripts.file_commands import ScriptCommands

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.packing.effects.scripts.action import ScriptAction

BY = "effect:scripts"
_OVERRIDES = "var/lib/dpkg/statoverride"


def create_scripted_files(given: EffectInput) -> EffectResult:
    """Return what file commands of scripts leave behind, and dpkg's list of attributes kept by hand."""
    canvas = OverlayTree(given.tree, BY)
    hand = ScriptCommands(canvas, *known_ids(given.tree), given.tree, given.settings.format)
    report: list[tuple[str, str]] = []
    for package, actions in given.actions.items():
        report += ((package, what) for what in run_actions(actions, hand))
    installed = {package.name for package in given.tree.packages}
    for row in parse_table(read_data("files.tsv")):
        if row[0] in installed and (row[1] != "text" or _writes(given.actions.get(row[0], ()), row[2])):
            _from_table(row, canvas, hand)
    if hand.stat_overrides:
        lines = [
            f"{item.user} {item.group} {item.mode} {path}\n"
            for path, item in sorted(hand.stat_overrides.items())
        ]
        canvas.put(file_entry(_OVERRIDES, "".join(lines).encode(), BY))
    return EffectResult(
        generated=tuple(canvas.entries.values()), skipped_actions=tuple(dict.fromkeys(report))
    )


def _writes(actions: Iterable[ScriptAction], path: str) -> bool:
    """Whether a script would write ``path``: that of another suite may not any more."""
    return any(path in action.output_files for action in actions)


def _from_table(row: list[str], canvas: OverlayTree, hand: ScriptCommands) -> None:
    """Do one line of the table: package, kind, path and what the kind needs."""
    _, kind, path, *rest = row
    if kind == "link":
        canvas.make_symlink(path, rest[0])
    elif kind == "copy":
        hand.run(("cp", rest[0], path), "/")
    elif kind == "absent":
        canvas.discard(path)
    elif kind == "text":
        canvas.write_file(path, rest[0].encode().decode("unicode_escape").encode())
    elif kind == "directory":
        if canvas.make_directory(path):
            _own(path, rest, hand)
    elif kind == "owner":
        _own(path, rest, hand)


def _own(path: str, rest: list[str], hand: ScriptCommands) -> None:
    owner, mode = rest
    hand.run(("chown", owner, path), "/")
    hand.run(("chmod", mode, path), "/")
