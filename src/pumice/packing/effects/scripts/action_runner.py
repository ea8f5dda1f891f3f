"""One script's file commands, done on a canvas: those that are certain, literal and possible.

A loop is done whole or not at all: half of it would be a state that no installation ever has.
"""

from __future__ import annotations

import posixpath
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pumice.packing.effects.overlay_tree import OverlayTree
    from pumice.packing.effects.scripts.action import ScriptAction
    from pumice.packing.effects.scripts.file_commands import ScriptCommands

_MAKERS = frozenset(("mkdir", "touch"))
_MAX_TEXT = 64 << 10
_ALWAYS_HARMLESS = frozenset(("rm", "umask"))
_UNREPORTED = frozenset(("a2enmod", "a2enconf", "a2ensite"))
"""Not reported in format 1 where they are not certain."""


def run_actions(actions: Iterable[ScriptAction], hand: ScriptCommands) -> Iterator[str]:
    """Do a script's commands; yield the names of those that were not done."""
    possible: list[ScriptAction] = []
    hand.begin_script()
    for loop, group in groupby(actions, lambda action: action.loop_id):
        if loop:
            yield from _perform_loop(list(group), hand)
        else:
            yield from _perform_line(group, possible, hand)
    for action in possible:
        name = _name(action)
        if _is_reported(name, hand) and not _is_there(action, hand):
            yield f"{name} (conditional)"


def _perform_line(
    actions: Iterable[ScriptAction], possible: list[ScriptAction], hand: ScriptCommands
) -> Iterator[str]:
    """Do commands outside of loops; those that are not certain go to ``possible``."""
    for action in actions:
        if action.output_files and not hand.is_format_1:
            if not _write_whole(action, hand):
                yield "file contents" if action.is_certain else "file contents (conditional)"
        elif not action.is_certain:
            possible.append(action)
        elif action.output_files:
            if not _write(action, hand.overlay):
                yield "file contents"
        # a directory that both branches of an unknown condition make is there all the same
        elif (
            hand.run(action.words, action.working_directory) is False
            and not (
                _made_before(action, possible, hand) and hand.run(action.words, action.working_directory)
            )
            and _name(action) not in _ALWAYS_HARMLESS
        ):
            yield _name(action)


def _perform_loop(actions: list[ScriptAction], hand: ScriptCommands) -> Iterator[str]:
    before = hand.snapshot()
    if all(_succeeds(action, hand) for action in actions):
        return
    hand.restore(before)
    for action in actions:
        if action.output_files:
            yield "file contents (loop)"
        elif hand.supports(action.words) and _name(action) not in _ALWAYS_HARMLESS:
            yield f"{_name(action)} (loop)"


def _succeeds(action: ScriptAction, hand: ScriptCommands) -> bool:
    """Do a command of a loop; one that is not certain succeeds if it would change nothing."""
    if action.is_certain:
        return (
            _write(action, hand.overlay)
            if action.output_files
            else hand.run(action.words, action.working_directory) is not False
        )
    if action.output_files:
        return False
    before = hand.snapshot()
    done = hand.run(action.words, action.working_directory)
    if done is None:
        return True
    is_same = not hand.has_changed_since(before)
    hand.restore(before)
    return bool(done) and is_same


def _name(action: ScriptAction) -> str:
    return (action.words[0] or "").rpartition("/")[2] if action.words else ""


def _is_reported(name: str, hand: ScriptCommands) -> bool:
    return (
        hand.supports((name,))
        and name not in _ALWAYS_HARMLESS
        and not (hand.is_format_1 and name in _UNREPORTED)
    )


def _made_before(action: ScriptAction, possible: list[ScriptAction], hand: ScriptCommands) -> bool:
    wanted = set(action.words[1:])
    for other in possible:
        if (
            _name(other) in _MAKERS
            and other.working_directory == action.working_directory
            and wanted & set(other.words[1:]) - {None}
        ):
            return hand.run(other.words, other.working_directory) is True
    return False


def _is_there(action: ScriptAction, hand: ScriptCommands) -> bool:
    last = action.words[-1]
    return (action.words[0] in _MAKERS and last is not None) and hand.overlay.exists(
        last if last.startswith("/") else f"{action.working_directory or ''}/{last}"
    )


def _write_whole(action: ScriptAction, hand: ScriptCommands) -> bool:
    """Write a file whose whole content is known; otherwise also take back what was written before."""
    places = [
        posixpath.join(action.working_directory or "", path)
        for path in action.output_files
        if path is not None
    ]
    if len(places) == len(action.output_files) and all(map(hand.overlay.is_from_other_effect, places)):
        return True
    if not action.is_certain:
        return False  # most of these are for upgrades: what is there is better than nothing
    if not action.is_appending:
        hand.incomplete_files.difference_update(places)
    if not hand.incomplete_files.intersection(places) and _write(action, hand.overlay):
        return True
    for place in places:
        hand.incomplete_files.add(place)
        hand.overlay.discard(place)
    return False


def _write(action: ScriptAction, canvas: OverlayTree) -> bool:
    """Write what is known of a command's output."""
    paths = [path for path in action.output_files if path is not None]
    if (
        action.output_text is None
        or len(paths) != len(action.output_files)
        or len(action.output_text) > _MAX_TEXT
    ):
        return False
    for path in paths:
        place = posixpath.join(action.working_directory or "", path)
        before = canvas.read(place) or b"" if action.is_appending else b""
        if not place.startswith("/") or not canvas.write_file(place, before + action.output_text.encode()):
            return False
    return True
