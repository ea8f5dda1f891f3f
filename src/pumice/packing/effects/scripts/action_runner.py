"""Carry out the actions of a script that are certain, literal and possible.

A loop is carried out completely or not at all: half a loop is a state that no installation has.
"""

from __future__ import annotations

import posixpath
from itertools import groupby
from typing import TYPE_CHECKING

from pumice.packing.effects.scripts.host_directories import names_host
from pumice.packing.effects.scripts.temporary_files import create_temporary_files, temporary_paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pumice.packing.effects.overlay_tree import OverlayTree
    from pumice.packing.effects.scripts.action import ScriptAction
    from pumice.packing.effects.scripts.file_commands import ScriptCommands

_CREATING_COMMANDS = frozenset(("mkdir", "touch"))
_MAX_OUTPUT = 64 << 10
_UNREPORTED_COMMANDS = frozenset(("rm", "umask"))
_UNREPORTED_IN_FORMAT_1 = frozenset(("a2enmod", "a2enconf", "a2ensite"))
"""Commands that format 1 does not report if they are uncertain."""


def run_actions(actions: Iterable[ScriptAction], commands: ScriptCommands) -> Iterator[str]:
    """Carry out the actions of one script; yield the names of those that were skipped."""
    uncertain_actions: list[ScriptAction] = []
    commands.begin_script()
    actions = tuple(actions)
    create_temporary_files(actions, commands.overlay)
    for loop, group in groupby(actions, lambda action: action.loop_id):
        if loop:
            yield from _run_loop(list(group), commands)
        else:
            yield from _run_outside_loops(group, uncertain_actions, commands)
    for action in uncertain_actions:
        name = _get_command_name(action)
        if _is_reported(name, commands) and not _is_already_created(action, commands):
            yield f"{name} (conditional)"


def _run_outside_loops(
    actions: Iterable[ScriptAction], uncertain_actions: list[ScriptAction], commands: ScriptCommands
) -> Iterator[str]:
    """Carry out actions outside of loops; append uncertain ones to ``uncertain_actions``."""
    for action in actions:
        if action.output_files and not commands.is_format_1:
            if not _write_complete_file(action, commands):
                yield "file contents" if action.is_certain else "file contents (conditional)"
        elif not action.is_certain:
            uncertain_actions.append(action)
            _discard_temporary_files(action, commands)
        elif action.output_files:
            if not _write_output(action, commands.overlay):
                yield "file contents"
        # a directory that both branches of an unknown condition create exists in any case
        elif (
            commands.run(action.words, action.working_directory) is False
            and not (
                _run_earlier_creation(action, uncertain_actions, commands)
                and commands.run(action.words, action.working_directory)
            )
            and _get_command_name(action) not in _UNREPORTED_COMMANDS
            and not names_host(action.words)
        ):
            yield _get_command_name(action)
        elif names_host(action.words):
            yield f"{_get_command_name(action)} (host name)"
        elif not commands.supports(action.words):
            _discard_temporary_files(action, commands)


def _run_loop(actions: list[ScriptAction], commands: ScriptCommands) -> Iterator[str]:
    snapshot = commands.snapshot()
    if all(_run_in_loop(action, commands) for action in actions):
        return
    commands.restore(snapshot)
    for action in actions:
        _discard_temporary_files(action, commands)
        if action.output_files:
            yield "file contents (loop)"
        elif commands.supports(action.words) and _get_command_name(action) not in _UNREPORTED_COMMANDS:
            yield f"{_get_command_name(action)} (loop)"


def _run_in_loop(action: ScriptAction, commands: ScriptCommands) -> bool:
    """Carry out an action of a loop; an uncertain one succeeds if it would change nothing."""
    if action.is_certain:
        return (
            _write_output(action, commands.overlay)
            if action.output_files
            else _run_certain_in_loop(action, commands)
        )
    if action.output_files:
        return False
    snapshot = commands.snapshot()
    is_done = commands.run(action.words, action.working_directory)
    if is_done is None:
        return True
    is_unchanged = not commands.has_changed_since(snapshot)
    commands.restore(snapshot)
    return bool(is_done) and is_unchanged


def _run_certain_in_loop(action: ScriptAction, commands: ScriptCommands) -> bool:
    is_done = commands.run(action.words, action.working_directory)
    return bool(is_done) or (is_done is None and not temporary_paths(action.words))


def _discard_temporary_files(action: ScriptAction, commands: ScriptCommands) -> None:
    """Forget the content of the temporary files that an action may have changed in an unknown way."""
    for path in temporary_paths((*action.words, *action.output_files)):
        commands.incomplete_files.add(path)
        commands.overlay.discard(path)


def _get_command_name(action: ScriptAction) -> str:
    return (action.words[0] or "").rpartition("/")[2] if action.words else ""


def _is_reported(name: str, commands: ScriptCommands) -> bool:
    return (
        commands.supports((name,))
        and name not in _UNREPORTED_COMMANDS
        and not (commands.is_format_1 and name in _UNREPORTED_IN_FORMAT_1)
    )


def _run_earlier_creation(
    action: ScriptAction, uncertain_actions: list[ScriptAction], commands: ScriptCommands
) -> bool:
    operands = set(action.words[1:])
    for earlier_action in uncertain_actions:
        if (
            _get_command_name(earlier_action) in _CREATING_COMMANDS
            and earlier_action.working_directory == action.working_directory
            and operands & set(earlier_action.words[1:]) - {None}
        ):
            return commands.run(earlier_action.words, earlier_action.working_directory) is True
    return False


def _is_already_created(action: ScriptAction, commands: ScriptCommands) -> bool:
    last_operand = action.words[-1]
    return (action.words[0] in _CREATING_COMMANDS and last_operand is not None) and commands.overlay.exists(
        last_operand if last_operand.startswith("/") else f"{action.working_directory or ''}/{last_operand}"
    )


def _write_complete_file(action: ScriptAction, commands: ScriptCommands) -> bool:
    """Write a file whose complete content is known; otherwise also delete what was written before."""
    paths = [
        posixpath.join(action.working_directory or "", path)
        for path in action.output_files
        if path is not None
    ]
    if len(paths) == len(action.output_files) and all(map(commands.overlay.is_from_other_effect, paths)):
        return True
    if not action.is_certain:
        return False  # most of these are for upgrades, so the existing content is the better guess
    if not action.is_appending:
        commands.incomplete_files.difference_update(paths)
    if not commands.incomplete_files.intersection(paths) and _write_output(action, commands.overlay):
        return True
    for path in paths:
        commands.incomplete_files.add(path)
        commands.overlay.discard(path)
    return False


def _write_output(action: ScriptAction, overlay: OverlayTree) -> bool:
    """Write the output of a command to its files; return False if it is unknown."""
    paths = [path for path in action.output_files if path is not None]
    if (
        action.output_text is None
        or len(paths) != len(action.output_files)
        or len(action.output_text) > _MAX_OUTPUT
    ):
        return False
    for path in paths:
        absolute_path = posixpath.join(action.working_directory or "", path)
        existing_content = overlay.read(absolute_path) or b"" if action.is_appending else b""
        if not absolute_path.startswith("/") or not overlay.write_file(
            absolute_path, existing_content + action.output_text.encode()
        ):
            return False
    return True
