"""Files, links and attributes that the packages' scripts and a data table ask for.

Only commands that a fresh installation is certain to run, with literal operands, are done; the
others go into the report.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pumice.image.effects.accounts import known_ids
from pumice.image.effects.canvas import Canvas
from pumice.image.effects.commands import Hand
from pumice.image.effects.model import Given, Result, data, file, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.image.effects.action import Action

BY = "effect:scripts"
_OVERRIDES = "var/lib/dpkg/statoverride"
_MAKERS = frozenset(("mkdir", "touch"))
_MAX_TEXT = 64 << 10


def scripted_files(given: Given) -> Result:
    """Return what file commands of scripts leave behind, and dpkg's list of attributes kept by hand."""
    canvas = Canvas(given.tree, BY)
    hand = Hand(canvas, *known_ids(given.tree))
    report: list[tuple[str, str]] = []
    for package, actions in given.actions.items():
        report += _perform(package, actions, hand)
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


def _perform(package: str, actions: Iterable[Action], hand: Hand) -> Iterable[tuple[str, str]]:
    """Do a script's commands; yield what could not be done."""
    possible: list[Action] = []
    hand.start()
    for action in actions:
        name = (action.words[0] or "").rpartition("/")[2] if action.words else ""
        if not action.certain:
            possible.append(action)
            continue
        if action.writes:
            if not _write(action, hand.canvas):
                yield package, "file contents"
            continue
        # a directory that both branches of an unknown condition make is there all the same
        if hand.does(action.words, action.folder) is False and not (
            _made_before(action, possible, hand) and hand.does(action.words, action.folder)
        ):
            yield package, name
    for action in possible:
        name = (action.words[0] or "").rpartition("/")[2] if action.words else ""
        if name in _REPORTED and not _is_done(action, hand):
            yield package, f"{name} (conditional)"


_REPORTED = frozenset(
    [
        "mkdir",
        "chown",
        "chgrp",
        "chmod",
        "touch",
        "ln",
        "cp",
        "install",
        "mv",
        "setcap",
        "dpkg-statoverride",
        "ucf",
    ]
)


def _made_before(action: Action, possible: list[Action], hand: Hand) -> bool:
    wanted = set(action.words[1:])
    for other in possible:
        name = (other.words[0] or "").rpartition("/")[2] if other.words else ""
        if name in _MAKERS and other.folder == action.folder and wanted & set(other.words[1:]) - {None}:
            return hand.does(other.words, other.folder) is True
    return False


def _is_done(action: Action, hand: Hand) -> bool:
    last = action.words[-1]
    return (action.words[0] in ("mkdir", "touch") and last is not None) and hand.canvas.exists(
        last if last.startswith("/") else f"{action.folder or ''}/{last}"
    )


def _write(action: Action, canvas: Canvas) -> bool:
    """Write what is known of a command's output."""
    paths = [path for path in action.writes if path is not None]
    if action.text is None or len(paths) != len(action.writes) or len(action.text) > _MAX_TEXT:
        return False
    for path in paths:
        place = posixpath.join(action.folder or "", path)
        before = canvas.read(place) or b"" if action.appends else b""
        if not place.startswith("/") or not canvas.file(place, before + action.text.encode()):
            return False
    return True


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
