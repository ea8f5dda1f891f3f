"""Sentences for the errors of argparse."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMPLAINT = re.compile(r"argument (?P<name>[^:]+): (?P<what>.*)", re.DOTALL)
_CHOICE = re.compile(r"invalid choice: (?P<word>.+?) \(choose from (?P<words>.*)\)", re.DOTALL)
_TYPED = re.compile(r"invalid (?P<kind>\S+) value: (?P<word>.*)", re.DOTALL)


def rephrase(message: str, words: Sequence[str]) -> tuple[str, str]:
    """Return an argparse error about the words of a command line as a sentence and a hint (may be empty)."""
    if message.startswith("the following arguments are required: "):
        missing = message.partition(": ")[2]
        return (f"required: {missing}" if ", " in missing else f"{missing} is missing"), ""
    complaint = _COMPLAINT.fullmatch(message)
    if complaint is None:
        return message, ""
    name, complaint_text = _choose_spelling(complaint["name"].split("/"), words), complaint["what"]
    if choice := _CHOICE.fullmatch(complaint_text):
        choices = re.findall(r"[^\s',]+", choice["words"])
        if name == "ACTION":
            return f"unknown action {choice['word']}", _suggest(choice["word"].strip("'"), choices)
        return f"{name} cannot be {choice['word']}", _suggest(choice["word"].strip("'"), choices)
    if typed := _TYPED.fullmatch(complaint_text):
        return f"{name} needs a number, not {typed['word']}", ""
    if complaint_text.startswith("ignored explicit argument "):
        return f"{name} cannot be {complaint_text.removeprefix('ignored explicit argument ')}", ""
    if complaint_text.startswith("expected "):
        return (
            f"{name} needs {complaint_text.removeprefix('expected ').replace('one argument', 'a value')}",
            "",
        )
    return f"{name}: {complaint_text}", ""


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
