"""What simple commands of a script write: into files, and in place of ``$(command)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import FormatError
from pumice.formats import shell
from pumice.formats.shellwords import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.packing.effects.scripts.scope import Scope, Value


def targets(scope: Scope, command: shell.SimpleCommand | shell.Redirected) -> tuple[Value, ...]:
    """Return the files that a command's output goes to, None for one that is not known."""
    paths = (
        scope.one(redirect.target)
        for redirect in command.redirects
        if redirect.operator in (">", ">>", ">|") and redirect.descriptor in ("", "1")
    )
    return tuple(path for path in paths if path != "/dev/null")


def text(words: Sequence[Value], command: shell.SimpleCommand) -> Value:
    """Return what a command with these fields writes, as far as that is plain."""
    known = [word for word in words if word is not None]
    if len(known) != len(words):
        return None
    if known in ([":"], ["true"]):
        return ""
    if known[0] == "echo" and not any("\\" in word for word in known):
        return " ".join(known[2:]) if known[1:2] == ["-n"] else " ".join(known[1:]) + "\n"
    documents = [redirect.target for redirect in command.redirects if redirect.operator.startswith("<<")]
    if known == ["cat"] and len(documents) == 1:
        part = documents[0][0] if documents[0] else Part("text", "")
        return part.text if part.kind == "text" else None
    return None


def substituted(command: str) -> shell.SimpleCommand | None:
    """Return the command of a ``$(command)`` if it is a single simple one."""
    if command.startswith("$"):
        return None
    try:
        parsed = shell.parse_script(command.encode("utf-8", "replace"))
    except FormatError:
        return None
    if len(parsed) != 1 or parsed[0].rest or len(parsed[0].first.commands) != 1:
        return None
    simple = parsed[0].first.commands[0]
    return simple if isinstance(simple, shell.SimpleCommand) and not simple.assignments else None
