"""What package scripts would have done that no effect does, by the name of the action.

Packages whose scripts are followed are judged by the commands that would run; the others by the
words in their scripts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pumice.image.effects.model import data, table
from pumice.image.effects.scripts import snippets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pumice.image.effects.action import Action
    from pumice.image.tree import PackageFacts

_SCRIPTS = ("preinst", "postinst")
_COMMAND = re.compile(
    r"(?:^|[;&|({]|\bif|\bthen|\belse|\bdo|!)[ \t]*(?:[\w/]*/)?([A-Za-z0-9][\w.-]*)", re.MULTILINE
)


def not_done(
    packages: Iterable[PackageFacts], actions: Mapping[str, tuple[Action, ...]], failed: Iterable[str]
) -> Iterable[tuple[str, str]]:
    """Yield pairs of a package and an action."""
    names = {row[0]: row[1] for row in table(data("actions.tsv"))}
    for package in packages:
        if package.name in actions:
            commands = {_name(action) for action in actions[package.name]} | _words(package, snippets)
        else:
            commands = _words(package, bytes)
        yield from (
            (package.name, action) for action in sorted({names[word] for word in commands & names.keys()})
        )
    for name in failed:
        yield name, "script not understood"


def _name(action: Action) -> str:
    return (action.words[0] or "").rpartition("/")[2] if action.words else ""


def _words(package: PackageFacts, part: Callable[[bytes], bytes]) -> set[str]:
    found: set[str] = set()
    for script in _SCRIPTS:
        text = part(package.files.get(script, b""))
        if text and part is bytes and not re.match(rb"#!\s*\S*sh\b", text):
            found.add("perl")
        found |= set(_COMMAND.findall(text.decode("utf-8", "replace")))
    return found
