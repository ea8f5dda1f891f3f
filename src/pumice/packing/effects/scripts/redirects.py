"""Redirections and output of simple commands, and command substitutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import FormatError
from pumice.formats import shell, shelltree
from pumice.formats.shellwords import Part
from pumice.packing.effects.scripts.scope import literal_value
from pumice.packing.effects.scripts.temporary_files import DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.packing.effects.scripts.scope import Scope, Value


def output_files(scope: Scope, command: shelltree.SimpleCommand | shelltree.Redirected) -> tuple[Value, ...]:
    """Return the files that the output of a command is redirected to, None for an unknown one."""
    paths = (
        literal_value(scope.expand_word(redirect.target))
        for redirect in command.redirects
        if redirect.operator in (">", ">>", ">|") and redirect.descriptor in ("", "1")
    )
    return tuple(path for path in paths if path != "/dev/null")


def output_text(words: Sequence[Value], command: shelltree.SimpleCommand) -> Value:
    """Return the output of ``:``, ``true``, ``echo`` or ``cat`` with a here-document; None otherwise."""
    literal_words = [word for word in map(literal_value, words) if word is not None and DIRECTORY not in word]
    if len(literal_words) != len(words):
        return None
    if literal_words in ([":"], ["true"]):
        return ""
    if literal_words[0] == "echo" and not any("\\" in word for word in literal_words):
        return (
            " ".join(literal_words[2:])
            if literal_words[1:2] == ["-n"]
            else " ".join(literal_words[1:]) + "\n"
        )
    here_documents = [redirect.target for redirect in command.redirects if redirect.operator.startswith("<<")]
    if literal_words == ["cat"] and len(here_documents) == 1:
        part = here_documents[0][0] if here_documents[0] else Part("text", "")
        return part.text if part.kind == "text" else None
    return None


def parse_substituted_pipeline(command: str) -> tuple[shelltree.SimpleCommand, ...]:
    """Return the commands of ``$(command | ...)`` if it is one pipeline of simple commands; else nothing."""
    if command.startswith("$"):
        return ()
    try:
        parsed = shell.parse_script(command.encode("utf-8", "replace"))
    except FormatError:
        return ()
    if len(parsed) != 1 or parsed[0].operations:
        return ()
    simple_commands = tuple(
        simple
        for simple in parsed[0].first.commands
        if isinstance(simple, shelltree.SimpleCommand) and not simple.assignments
    )
    return simple_commands if len(simple_commands) == len(parsed[0].first.commands) else ()
