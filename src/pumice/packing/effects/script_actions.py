"""One script's file commands, done on a canvas: those that are certain, literal and possible.

A loop is done whole or not at all: half of it would be a state that no installation ever has.
"""

from __future__ import annotations

import posixpath
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pumice.packing.effects.action import Action
    from pumice.packing.effects.file_commands import Hand
    from pumice.packing.effects.overlay_tree import Canvas

_MAKERS = frozenset(("mkdir", "touch"))
_MAX_TEXT = 64 << 10
_ALWAYS_HARMLESS = frozenset(("rm", "umask"))
_UNREPORTED = frozenset(("a2enmod", "a2enconf", "a2ensite"))
"""Not reported in format 1 where they are not certain."""


def perform(actions: Iterable[Action], hand: Hand) -> Iterator[str]:
    """Do a script's commands; yield the names of those that were not done."""
    possible: list[Action] = []
    hand.start()
    for loop, group in groupby(actions, lambda action: action.loop):
        if loop:
            yield from _perform_loop(list(group), hand)
        else:
            yield from _perform_line(group, possible, hand)
    for action in possible:
        name = _name(action)
        if _is_reported(name, hand) and not _is_there(action, hand):
            yield f"{name} (conditional)"


def _perform_line(actions: Iterable[Action], possible: list[Action], hand: Hand) -> Iterator[str]:
    """Do commands outside of loops; those that are not certain go to ``possible``."""
    for action in actions:
        if action.writes and not hand.is_old:
            if not _write_whole(action, hand):
                yield "file contents" if action.certain else "file contents (conditional)"
        elif not action.certain:
            possible.append(action)
        elif action.writes:
            if not _write(action, hand.canvas):
                yield "file contents"
        # a directory that both branches of an unknown condition make is there all the same
        elif (
            hand.does(action.words, action.folder) is False
            and not (_made_before(action, possible, hand) and hand.does(action.words, action.folder))
            and _name(action) not in _ALWAYS_HARMLESS
        ):
            yield _name(action)


def _perform_loop(actions: list[Action], hand: Hand) -> Iterator[str]:
    before = hand.state()
    if all(_succeeds(action, hand) for action in actions):
        return
    hand.restore(before)
    for action in actions:
        if action.writes:
            yield "file contents (loop)"
        elif hand.knows(action.words) and _name(action) not in _ALWAYS_HARMLESS:
            yield f"{_name(action)} (loop)"


def _succeeds(action: Action, hand: Hand) -> bool:
    """Do a command of a loop; one that is not certain succeeds if it would change nothing."""
    if action.certain:
        return (
            _write(action, hand.canvas)
            if action.writes
            else hand.does(action.words, action.folder) is not False
        )
    if action.writes:
        return False
    before = hand.state()
    done = hand.does(action.words, action.folder)
    if done is None:
        return True
    is_same = not hand.is_changed(before)
    hand.restore(before)
    return bool(done) and is_same


def _name(action: Action) -> str:
    return (action.words[0] or "").rpartition("/")[2] if action.words else ""


def _is_reported(name: str, hand: Hand) -> bool:
    return hand.knows((name,)) and name not in _ALWAYS_HARMLESS and not (hand.is_old and name in _UNREPORTED)


def _made_before(action: Action, possible: list[Action], hand: Hand) -> bool:
    wanted = set(action.words[1:])
    for other in possible:
        if (
            _name(other) in _MAKERS
            and other.folder == action.folder
            and wanted & set(other.words[1:]) - {None}
        ):
            return hand.does(other.words, other.folder) is True
    return False


def _is_there(action: Action, hand: Hand) -> bool:
    last = action.words[-1]
    return (action.words[0] in _MAKERS and last is not None) and hand.canvas.exists(
        last if last.startswith("/") else f"{action.folder or ''}/{last}"
    )


def _write_whole(action: Action, hand: Hand) -> bool:
    """Write a file whose whole content is known; otherwise also take back what was written before."""
    places = [posixpath.join(action.folder or "", path) for path in action.writes if path is not None]
    if len(places) == len(action.writes) and all(map(hand.canvas.is_made_elsewhere, places)):
        return True
    if not action.certain:
        return False  # most of these are for upgrades: what is there is better than nothing
    if not action.appends:
        hand.unknown_files.difference_update(places)
    if not hand.unknown_files.intersection(places) and _write(action, hand.canvas):
        return True
    for place in places:
        hand.unknown_files.add(place)
        hand.canvas.forget(place)
    return False


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
