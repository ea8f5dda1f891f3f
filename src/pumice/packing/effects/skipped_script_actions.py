"""Actions of package scripts that no effect carries out.

The interpreter finds the commands that would run. In debhelper's snippets, which it does not see, and
in scripts that it cannot parse, every command name counts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pumice.packing.effects import accounts
from pumice.packing.effects.model import parse_table, read_data
from pumice.packing.effects.scripts.file_commands import is_supported
from pumice.packing.effects.scripts.maintainer_scripts import debhelper_snippets, is_shell_script
from pumice.recipe.lock import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pumice.packing.effects.scripts.action import ScriptAction
    from pumice.packing.tree import PackageFacts

_SCRIPTS = ("preinst", "postinst")
_COMMAND = re.compile(
    r"(?:^|[;&|({]|\bif|\bthen|\belse|\bdo|!)[ \t]*(?:[\w/]*/)?([A-Za-z0-9][\w.-]*)", re.MULTILINE
)


def find_skipped_actions(
    packages: Iterable[PackageFacts],
    actions: Mapping[str, tuple[ScriptAction, ...]],
    failed: Iterable[str],
    lock_format: int = FORMAT,
) -> Iterable[tuple[str, str]]:
    """Yield pairs of a package and a skipped action; an unknown command is named after its program."""
    action_by_command = {row[0]: row[1] for row in parse_table(read_data("actions.tsv"))}
    action_by_command = {
        name: action for name, action in action_by_command.items() if not is_supported(name, lock_format)
    }
    quiet_commands = {row[0] for row in parse_table(read_data("quiet.tsv"))}
    diverting_packages = {row[0] for row in parse_table(read_data("diversions.tsv"))}
    failed_packages = frozenset(failed)
    for package in packages:
        action_names: set[str] = set()
        package_actions = actions.get(package.name, ())
        if package.name in failed_packages:
            action_names.add("script not understood")
        if package.name not in failed_packages and (package_actions or lock_format >= 2):
            action_names |= {
                action_by_command[word]
                for word in _find_command_names(package, debhelper_snippets) & action_by_command.keys()
            }
        else:
            action_names |= {
                action_by_command[word]
                for word in _find_command_names(package, bytes) & action_by_command.keys()
            }
        for action in package_actions:
            name = _get_command_name(action)
            if _is_text_filter(action):
                continue
            if name in action_by_command:
                action_names.add(action_by_command[name])
            elif not (
                name in quiet_commands
                or is_supported(name, lock_format)
                or _is_handled_elsewhere(action, package, diverting_packages)
            ):
                action_names.add(name)
        action_names.update(_find_foreign_scripts(package))
        yield from ((package.name, action) for action in sorted(action_names))


def _get_command_name(action: ScriptAction) -> str:
    if not action.words:
        return ":"
    return "unknown command" if action.words[0] is None else action.words[0].rpartition("/")[2]


def _is_text_filter(action: ScriptAction) -> bool:
    """Whether a command that can edit files only prints here."""
    in_place = any((word or "-i").startswith(("-i", "--in-place")) for word in action.words[1:])
    return _get_command_name(action) == "sed" and not in_place


def _is_handled_elsewhere(action: ScriptAction, package: PackageFacts, diverting: set[str]) -> bool:
    """Whether another effect carries out the action or reports it."""
    if _get_command_name(action) == "dpkg-divert":
        return package.name in diverting or "--add" not in action.words
    is_only_redirection = _get_command_name(action) == "exec" and len(action.words) == 1
    return is_only_redirection or accounts.is_account_command(action.words)


def _find_foreign_scripts(package: PackageFacts) -> Iterable[str]:
    """Yield an action for each script that is not a shell script, since its effect is unknown."""
    for script in _SCRIPTS:
        text = package.files.get(script, b"")
        if text.strip() and not is_shell_script(text):
            first = text[:200].partition(b"\n")[0].decode("utf-8", "replace")
            program = re.match(r"#!\s*(?:\S*/env\s+)?\S*?([\w.+-]+)(?:\s|$)", first)
            yield f"{program[1]} script" if program else "program"


def _find_command_names(package: PackageFacts, select_text: Callable[[bytes], bytes]) -> set[str]:
    commands: set[str] = set()
    for script in _SCRIPTS:
        text = select_text(package.files.get(script, b""))
        commands |= set(_COMMAND.findall(text.decode("utf-8", "replace")))
    return commands
