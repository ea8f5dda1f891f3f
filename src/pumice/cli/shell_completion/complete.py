"""``pumice __complete``: what the completion scripts of the shells ask for.

``pumice __complete SHELL WORD...`` prints what can stand for the last word, which may be empty or partial:
one candidate a line, with a tab and its description. The first line says what the shell does besides:
``files`` and ``directories`` complete paths, ``nospace`` leaves the cursor behind the word.

The commands come from ``completion.tsv``, which ``tools/reference.py`` writes from the parsers. Its columns
are the command, what the line describes (``option``, ``operand`` or ``action``), the names, the value, and
the help. A value is a metavar, or ``=`` and choices separated by ``|``; ``...`` follows if it repeats.
"""

from __future__ import annotations

import os
import sys

from pumice.cli.commands import ALIASES, COMMANDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Row = list[str]
    Candidate = tuple[str, str]

TABLE = "completion.tsv"
RECIPE_ARGUMENT = "RECIPE-ARGUMENT"
"""The value of ``--arg`` in the table: an argument that the recipe on the command line declares."""
_GLOBAL = {
    "help": "show the help of a command",
    "--help": "list the commands",
    "--version": "print the version",
}


def main(arguments: Sequence[str]) -> int:
    """Print the candidates for the last word."""
    shell, *words = arguments or ("",)
    if shell == "bash":
        words = split_line(words[0] if words else "")
    current = words[-1] if words else ""
    directive, candidates = complete(words[1:])
    prefix = _completed_prefix(current) if shell == "bash" else ""
    lines = [directive]
    lines += [
        f"{word.removeprefix(prefix)}\t{' '.join(description.split())}"
        for word, description in candidates
        if word.startswith(current) and not any(ord(character) < 32 for character in word)
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def split_line(line: str) -> list[str]:
    """Return the words of a command line, as a shell would split it; the last may be unfinished."""
    words, quote, is_escaped = [""], "", False
    for character in line:
        if is_escaped:
            words[-1] += character
            is_escaped = False
        elif character == "\\" and quote != "'":
            is_escaped = True
        elif character == quote:
            quote = ""
        elif not quote and character in "\"'":
            quote = character
        elif not quote and character in " \t\n":
            words += [""] if words[-1] else []
        else:
            words[-1] += character
    return words


def _completed_prefix(word: str) -> str:
    """Return the part of a word that bash completes as separate words, because of ``:`` and ``=``."""
    breaks = [character for character in ":=" if character in os.environ.get("COMP_WORDBREAKS", ":=")]
    return word[: max((word.rfind(character) for character in breaks), default=-1) + 1]


def complete(words: Sequence[str]) -> tuple[str, list[Candidate]]:
    """Return the directive for the shell and the candidates for the last of ``words``, unfiltered."""
    if len(words) <= 1:
        verbs = [(verb, summary) for verb, (_, summary, _) in COMMANDS.items()]
        aliases = [(alias, f"another name of {verb}") for alias, verb in ALIASES.items()]
        return "", [*verbs, *aliases, *_GLOBAL.items()]
    verb, *rest = ALIASES.get(words[0], words[0]), *words[1:]
    if verb == "help":
        return complete(rest) if len(rest) == 1 else ("", _actions(_read_rows(rest[0])))
    rows = _read_rows(verb)
    if _actions(rows):
        position = _find_action(rows, verb, rest)
        if position is None:
            return "", _actions(rows) if not rest[-1].startswith("-") else _options(rows)
        rows = _read_rows(f"{verb} {rest[position]}")
        rest = [*rest[:position], *rest[position + 1 :]]
    return _complete_command(rows, rest)


def _read_rows(command: str, end: str = "\t") -> list[Row]:
    """Return the rows of a command, or with a space as ``end`` those of its actions."""
    path = os.path.join(os.path.dirname(__file__), TABLE)
    with open(path, encoding="utf-8") as table:
        return [line[:-1].split("\t") for line in table if line.startswith(command + end)]


def _actions(rows: Iterable[Row]) -> list[Candidate]:
    return [(names, summary) for _, kind, names, _, summary in rows if kind == "action"]


def _options(rows: Iterable[Row]) -> list[Candidate]:
    return [
        (name, summary)
        for _, kind, names, _, summary in rows
        if kind == "option"
        for name in names.split(",")
    ]


def _find_action(rows: Iterable[Row], verb: str, words: Sequence[str]) -> int | None:
    """Return the index of the action in the words before the last, None if there is none yet."""
    flags = {name for row in _read_rows(verb, " ") if not row[3] for name in row[2].split(",")}
    names = {name for name, _ in _actions(rows)}
    is_value = False
    for index, word in enumerate(words[:-1]):
        if not is_value and word in names:
            return index
        is_value = not is_value and word.startswith("-") and word not in flags and "=" not in word
    return None


def _complete_command(rows: Sequence[Row], words: Sequence[str]) -> tuple[str, list[Candidate]]:
    """Complete the last word after a command, an option, its value or an operand."""
    values = {name: row[3] for row in rows if row[1] == "option" for name in row[2].split(",")}
    operands = [row[3] for row in rows if row[1] == "operand"]
    *before, current = words
    operand_words, pending = _split_operands(before, values)
    position = len(operand_words)
    if pending == RECIPE_ARGUMENT:
        from pumice.cli.shell_completion import complete_recipe

        return "nospace", complete_recipe.list_arguments(operand_words[0] if operand_words else "")
    if pending:
        return _complete_value(pending, current)
    if current.startswith("--") and "=" in current:
        name, _, partial = current.partition("=")
        directive, candidates = _complete_value(values.get(name, ""), partial)
        if directive in ("files", "directories"):
            directive, candidates = "nospace", _paths(partial, directives=directive)
        return directive, [(f"{name}={word}", description) for word, description in candidates]
    if current.startswith("-"):
        return "", _options(rows)
    if position >= len(operands):
        if not operands or not operands[-1].endswith("..."):
            return "", []
        position = len(operands) - 1
    return _complete_value(operands[position], current)


def _split_operands(words: Sequence[str], values: dict[str, str]) -> tuple[list[str], str]:
    """Return the operands, and what the option at the end takes, empty if it takes nothing."""
    operands, pending = [], ""
    for word in words:
        if pending:
            pending = ""
        elif word.startswith("-") and len(word) > 1:
            pending = values.get(word, "")
        else:
            operands.append(word)
    return operands, pending


def _complete_value(value: str, current: str) -> tuple[str, list[Candidate]]:
    value = value.removesuffix("...")
    if value.startswith("="):
        return "", [(choice, "") for choice in value[1:].split("|")]
    from pumice.cli.shell_completion import complete_values

    return complete_values.complete_value(value, current)


def _paths(partial: str, directives: str) -> list[Candidate]:
    from pumice.cli.shell_completion import complete_values

    return list(complete_values.list_paths(partial, only_directories=directives == "directories"))
