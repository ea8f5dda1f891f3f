"""What package scripts would have done that no effect does, by the name of the action.

Scripts that are followed are judged by the commands that would run, what debhelper added to them and
scripts that are not understood by their words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pumice.packing.effects import accounts
from pumice.packing.effects.model import parse_table, read_data
from pumice.packing.effects.scripts.file_commands import is_supported
from pumice.packing.effects.scripts.maintainer_scripts import is_shell, snippets
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
    """Yield pairs of a package and an action; a command that nobody knows is an action of its own name."""
    names = {row[0]: row[1] for row in parse_table(read_data("actions.tsv"))}
    names = {name: action for name, action in names.items() if not is_supported(name, lock_format)}
    quiet = {row[0] for row in parse_table(read_data("quiet.tsv"))}
    diverting = {row[0] for row in parse_table(read_data("diversions.tsv"))}
    misunderstood = frozenset(failed)
    for package in packages:
        found: set[str] = set()
        taken = actions.get(package.name, ())
        if package.name in misunderstood:
            found.add("script not understood")
        if package.name not in misunderstood and (taken or lock_format >= 2):
            found |= {names[word] for word in _words(package, snippets) & names.keys()}
        else:
            found |= {names[word] for word in _words(package, bytes) & names.keys()}
        for action in taken:
            name = _name(action)
            if _is_filter(action):
                continue
            if name in names:
                found.add(names[name])
            elif not (
                name in quiet or is_supported(name, lock_format) or _is_elsewhere(action, package, diverting)
            ):
                found.add(name)
        found.update(_other_languages(package))
        yield from ((package.name, action) for action in sorted(found))


def _name(action: ScriptAction) -> str:
    if not action.words:
        return ":"
    return "unknown command" if action.words[0] is None else action.words[0].rpartition("/")[2]


def _is_filter(action: ScriptAction) -> bool:
    """Whether a command that may edit files only prints."""
    in_place = any((word or "-i").startswith(("-i", "--in-place")) for word in action.words[1:])
    return _name(action) == "sed" and not in_place


def _is_elsewhere(action: ScriptAction, package: PackageFacts, diverting: set[str]) -> bool:
    """Whether another effect stands for the action, or reports it itself."""
    if _name(action) == "dpkg-divert":
        return package.name in diverting or "--add" not in action.words
    is_only_redirection = _name(action) == "exec" and len(action.words) == 1
    return is_only_redirection or accounts.is_command(action.words)


def _other_languages(package: PackageFacts) -> Iterable[str]:
    """Yield a name for each script that is not one for a shell: nobody can say what it does."""
    for script in _SCRIPTS:
        text = package.files.get(script, b"")
        if text.strip() and not is_shell(text):
            first = text[:200].partition(b"\n")[0].decode("utf-8", "replace")
            program = re.match(r"#!\s*(?:\S*/env\s+)?\S*?([\w.+-]+)(?:\s|$)", first)
            yield f"{program[1]} script" if program else "program"


def _words(package: PackageFacts, part: Callable[[bytes], bytes]) -> set[str]:
    found: set[str] = set()
    for script in _SCRIPTS:
        text = part(package.files.get(script, b""))
        found |= set(_COMMAND.findall(text.decode("utf-8", "replace")))
    return found
