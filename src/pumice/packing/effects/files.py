"""Files, links and attributes that the packages' scripts and a data table ask for.

Only commands that a fresh installation is certain to run, with literal operands, are done; the
others go into the report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.packing.effects.accounts import known_ids
from pumice.packing.effects.file_commands import Hand
from pumice.packing.effects.model import Given, Result, data, file, table
from pumice.packing.effects.overlay_tree import Canvas
from pumice.packing.effects.script_actions import perform

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.packing.effects.action import Action

BY = "effect:scripts"
_OVERRIDES = "var/lib/dpkg/statoverride"


def scripted_files(given: Given) -> Result:
    """Return what file commands of scripts leave behind, and dpkg's list of attributes kept by hand."""
    canvas = Canvas(given.tree, BY)
    hand = Hand(canvas, *known_ids(given.tree), given.tree, given.settings.format)
    report: list[tuple[str, str]] = []
    for package, actions in given.actions.items():
        report += ((package, what) for what in perform(actions, hand))
    installed = {package.name for package in given.tree.packages}
    for row in table(data("files.tsv")):
        if row[0] in installed and (row[1] != "text" or _writes(given.actions.get(row[0], ()), row[2])):
            _from_table(row, canvas, hand)
    if hand.overrides:
        lines = [
            f"{item.user} {item.group} {item.mode} {path}\n" for path, item in sorted(hand.overrides.items())
        ]
        canvas.put(file(_OVERRIDES, "".join(lines).encode(), BY))
    return Result(generated=tuple(canvas.made.values()), report=tuple(dict.fromkeys(report)))


def _writes(actions: Iterable[Action], path: str) -> bool:
    """Whether a script would write ``path``: that of another suite may not any more."""
    return any(path in action.writes for action in actions)


def _from_table(row: list[str], canvas: Canvas, hand: Hand) -> None:
    """Do one line of the table: package, kind, path and what the kind needs."""
    _, kind, path, *rest = row
    if kind == "link":
        canvas.link(path, rest[0])
    elif kind == "copy":
        hand.does(("cp", rest[0], path), "/")
    elif kind == "absent":
        canvas.forget(path)
    elif kind == "text":
        canvas.file(path, rest[0].encode().decode("unicode_escape").encode())
    elif kind == "directory":
        if canvas.directory(path):
            _own(path, rest, hand)
    elif kind == "owner":
        _own(path, rest, hand)


def _own(path: str, rest: list[str], hand: Hand) -> None:
    owner, mode = rest
    hand.does(("chown", owner, path), "/")
    hand.does(("chmod", mode, path), "/")
