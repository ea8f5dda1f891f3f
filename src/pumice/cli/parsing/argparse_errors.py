"""Sentences for the errors of argparse."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_COMPLAINT = re.compile(r"argument (?P<name>[^:]+): (?P<what>.*)", re.DOTALL)
_CHOICE = re.compile(r"invalid choice: (?P<word>.+?) \(choose from (?P<words>.*)\)", re.DOTALL)
_EXPLICIT = "ignored explicit argument "
_EXCLUSIVE = "not allowed with argument "
_FALSE = frozenset(("false", "f", "0", "no", "off"))
_TYPED = re.compile(r"invalid (?P<kind>\S+) value: (?P<word>.*)", re.DOTALL)


def rephrase(message: str, words: Sequence[str]) -> tuple[str, str]:
    """Return an argparse error about the words of a command line as a sentence and a hint (may be empty)."""
    if message.startswith("the following arguments are required: "):
        missing = message.partition(": ")[2]
        return (f"required: {missing}" if ", " in missing else f"{missing} is missing"), ""
    complaint = _COMPLAINT.fullmatch(message)
    if complaint is None:
        return message, ""
    name = _choose_spelling(complaint["name"].split("/"), words)
    if complaint["what"].startswith(_EXPLICIT):
        return _reject_value(name, complaint["what"].removeprefix(_EXPLICIT), "=" in complaint["name"])
    return _rephrase_complaint(name, complaint["what"])


def _reject_value(name: str, word: str, has_values: bool) -> tuple[str, str]:
    """Return the error of a flag with a value; ``has_values`` if values are parts of its names."""
    if has_values:
        return f"{name} cannot be {word}", _suggest(word.strip("'"), ("true", "false"))
    advice = "leave it out" if word.strip("'").lower() in _FALSE else "write it without a value"
    return f"{name} takes no value, not {word}", advice


def _rephrase_complaint(name: str, complaint_text: str) -> tuple[str, str]:
    if choice := _CHOICE.fullmatch(complaint_text):
        choices = re.findall(r"[^\s',]+", choice["words"])
        if name == "ACTION":
            return f"unknown action {choice['word']}", _suggest(choice["word"].strip("'"), choices)
        return f"{name} cannot be {choice['word']}", _suggest(choice["word"].strip("'"), choices)
    if typed := _TYPED.fullmatch(complaint_text):
        return f"{name} needs a number, not {typed['word']}", ""
    if complaint_text.startswith(_EXCLUSIVE):
        other = complaint_text.removeprefix(_EXCLUSIVE).split("/")[-1]
        return f"cannot use {name} with {other}", "leave out one of them"
    if complaint_text.startswith("expected "):
        return (
            f"{name} needs {complaint_text.removeprefix('expected ').replace('one argument', 'a value')}",
            "",
        )
    return f"{name}: {complaint_text}", ""


def find_action(message: str, parser: argparse.ArgumentParser) -> argparse.Action | None:
    """Return the option or operand that an argparse error is about, None if it is about none or several."""
    complaint = _COMPLAINT.fullmatch(message)
    names = complaint["name"].split("/") if complaint else []
    return next(
        (
            action
            for action in parser._actions
            if (action.option_strings and set(names) <= set(action.option_strings))
            or (not action.option_strings and names == [action.metavar])
        ),
        None,
    )


def suggest_value(sentence: str, action: argparse.Action | None, parser: argparse.ArgumentParser) -> str:
    """Return the hint of an error without one: the values of the option, or how to write the command."""
    from pumice.cli.display.results import FormatReader
    from pumice.cli.parsing import help_format

    if action is None or not action.option_strings or action.nargs == 0:
        return f"usage: {help_format.usage(parser)}"
    if action.choices:
        return f"use one of {', '.join(map(str, action.choices))}"
    if isinstance(action.type, FormatReader):
        return f"use one of {', '.join(action.type.names)}, or a template"
    if "needs a number" in sentence and isinstance(action.default, int):
        return f"for example: {action.option_strings[-1]} {action.default}"
    return f"write {action.option_strings[-1]} {action.metavar or action.dest.upper()}"


def _choose_spelling(spellings: Sequence[str], words: Sequence[str]) -> str:
    """Return the long name of an option; of several long names, the one that the user typed."""
    long_names = [name for name in spellings if name.startswith("--") and "=" not in name]
    if len(long_names) == 1:
        return long_names[0]
    for word in words:
        for name in spellings:
            if word.partition("=")[0] == name or (len(name) == 2 and word.startswith(name)):
                return name
    return spellings[-1]


def _suggest(word: str, choices: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, choices, n=1)
    return f"did you mean '{close[0]}'?" if close else f"use one of {', '.join(choices)}"
