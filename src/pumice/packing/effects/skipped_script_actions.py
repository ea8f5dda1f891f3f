"""Actions of package scripts that no effect carries out.

The interpreter finds the commands that would run. In debhelper's snippets, which it does not see, and
in scripts that it cannot parse, every command name counts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

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
    tables = _read_tables(lock_format)
    failed_packages = frozenset(failed)
    for package in packages:
        package_actions = actions.get(package.name, ())
        is_failed = package.name in failed_packages
        is_interpreted = not is_failed and bool(package_actions or lock_format >= 2)
        names = {"script not understood"} if is_failed else set()
        commands = _find_command_names(package, debhelper_snippets if is_interpreted else bytes)
        names |= {tables.action_by_command[name] for name in commands & tables.action_by_command.keys()}
        names.update(name for action in package_actions if (name := tables.name_action(action, package)))
        names.update(_find_foreign_scripts(package))
        yield from ((package.name, name) for name in sorted(names))


class _Tables(msgspec.Struct, frozen=True):
    """What is known about commands: the actions that they stand for, and those that do no harm."""

    action_by_command: dict[str, str]
    quiet_commands: frozenset[str]
    diverting_packages: frozenset[str]
    lock_format: int

    def name_action(self, action: ScriptAction, package: PackageFacts) -> str:
        """Return the name of an action that is skipped, empty for one that is not missed."""
        command = _get_command_name(action)
        if _is_text_filter(action):
            return ""
        if command in self.action_by_command:
            return self.action_by_command[command]
        if _compiles_byte_code(action):
            return self.action_by_command["py3compile"]
        is_missed = not (
            command in self.quiet_commands
            or is_supported(command, self.lock_format)
            or _is_handled_elsewhere(action, package, self.diverting_packages)
        )
        return command if is_missed else ""


def _read_tables(lock_format: int) -> _Tables:
    actions = ((row[0], row[1]) for row in parse_table(read_data("actions.tsv")))
    return _Tables(
        {name: action for name, action in actions if not is_supported(name, lock_format)},
        frozenset(row[0] for row in parse_table(read_data("quiet.tsv"))),
        frozenset(row[0] for row in parse_table(read_data("diversions.tsv"))),
        lock_format,
    )


def _get_command_name(action: ScriptAction) -> str:
    if not action.words:
        return ":"
    return "unknown command" if action.words[0] is None else action.words[0].rpartition("/")[2]


def _is_text_filter(action: ScriptAction) -> bool:
    """Whether a command that can edit files only prints here."""
    in_place = any((word or "-i").startswith(("-i", "--in-place")) for word in action.words[1:])
    return _get_command_name(action) == "sed" and not in_place


def _compiles_byte_code(action: ScriptAction) -> bool:
    """Whether an interpreter runs Python's compiler, as the script of python3.11-minimal does."""
    return any((word or "").endswith("/py_compile.py") for word in action.words[1:])


def _is_handled_elsewhere(action: ScriptAction, package: PackageFacts, diverting: frozenset[str]) -> bool:
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
