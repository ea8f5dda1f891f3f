"""The effect that carries out file commands of package scripts, and the rows of a data table.

A command is carried out only if a fresh installation certainly runs it and its operands are literal;
the others are reported as skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.packing.effects.account_ids import read_account_ids
from pumice.packing.effects.model import EffectInput, EffectResult, file_entry, parse_table, read_data
from pumice.packing.effects.overlay_tree import OverlayTree
from pumice.packing.effects.scripts.action_runner import run_actions
from pumice.packing.effects.scripts.file_commands import ScriptCommands
from pumice.packing.effects.scripts.temporary_files import is_temporary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.packing.effects.scripts.action import ScriptAction

ORIGIN = "effect:scripts"
_OVERRIDES = "var/lib/dpkg/statoverride"


def create_scripted_files(inputs: EffectInput) -> EffectResult:
    """Return the files that scripts create or change, and dpkg's list of overridden attributes."""
    overlay = OverlayTree(inputs.tree, ORIGIN)
    commands = ScriptCommands(overlay, read_account_ids(inputs.tree), inputs.tree, inputs.settings.format)
    skipped_actions: list[tuple[str, str]] = []
    for package, actions in inputs.actions.items():
        skipped_actions += ((package, action_name) for action_name in run_actions(actions, commands))
    installed = {package.name for package in inputs.tree.packages}
    for row in parse_table(read_data("files.tsv")):
        if row[0] in installed and (row[1] != "text" or _writes_file(inputs.actions.get(row[0], ()), row[2])):
            _apply_table_row(row, overlay, commands)
    if commands.stat_overrides:
        lines = [
            f"{stat_override.user} {stat_override.group} {stat_override.mode} {path}\n"
            for path, stat_override in sorted(commands.stat_overrides.items())
        ]
        overlay.put(file_entry(_OVERRIDES, "".join(lines).encode(), ORIGIN))
    return EffectResult(
        generated=tuple(entry for entry in overlay.entries.values() if not is_temporary(entry.entry.path)),
        skipped_actions=tuple(dict.fromkeys(skipped_actions)),
    )


def _writes_file(actions: Iterable[ScriptAction], path: str) -> bool:
    """Whether a script writes ``path``; the script of another suite may not."""
    return any(path in action.output_files for action in actions)


def _apply_table_row(row: list[str], overlay: OverlayTree, commands: ScriptCommands) -> None:
    """Apply a row of the table: package, kind, path, and the fields of that kind."""
    _, kind, path, *fields = row
    if kind == "link":
        overlay.make_symlink(path, fields[0])
    elif kind == "copy":
        commands.run(("cp", fields[0], path), "/")
    elif kind == "absent":
        overlay.discard(path)
    elif kind == "text":
        overlay.write_file(path, fields[0].encode().decode("unicode_escape").encode())
    elif kind == "directory":
        if overlay.make_directory(path):
            _change_owner(path, fields, commands)
    elif kind == "owner":
        _change_owner(path, fields, commands)


def _change_owner(path: str, fields: list[str], commands: ScriptCommands) -> None:
    owner, mode = fields
    commands.run(("chown", owner, path), "/")
    commands.run(("chmod", mode, path), "/")
