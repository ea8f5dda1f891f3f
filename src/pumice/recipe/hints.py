"""Hints for mistakes in a recipe: misspelled keys and words, and commands that are written as one string."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.recipe.kinds import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

_MIN_SIMILARITY = 0.72
"""``exclude`` and ``include`` have 0.71, ``nam`` and ``name`` 0.86."""

_OPERATOR = r"(?:^|\s)(?:\|\|?|&&?|\d?[<>]{1,2}(?:&\d)?)(?:\s|$)|\d>&\d|;(?:\s|$)"
_EXPANSION = r"\$[A-Za-z_({]|`"


def suggest_word(word: str, known_words: Iterable[str]) -> str | None:
    """Return the hint "did you mean" for a misspelled word, None if no word is similar."""
    from difflib import get_close_matches

    known_words = list(known_words)
    close = get_close_matches(word[:80], known_words, n=1, cutoff=_MIN_SIMILARITY)
    if not close and len(word) >= 3:
        close = [candidate for candidate in known_words if candidate.startswith(word)][:1]
    return f"did you mean '{close[0]}'?" if close else None


def suggest_key(word: str, table: Table) -> str:
    """Return the hint for an unknown key: where it belongs, a similar key, or all keys."""
    for name, hint in table.hints:
        if word == name:
            return hint
    for key in table.keys:
        if isinstance(key.kind, Table) and word in (nested_key.name for nested_key in key.kind.keys):
            return f"'{word}' goes under '{key.name}'"
    names = [key.name for key in table.keys]
    return suggest_word(word, names) or "allowed keys: " + ", ".join(names)


def format_command(text: str) -> str:
    """Return a command of one string as the list to write in YAML.

    It is split as a shell splits it, or passed to a shell if only a shell can run it.
    """
    import re
    import shlex

    from pumice.recipe.yaml_scalars import quote_text

    unquoted = re.sub(r"'[^']*'", "", text)
    try:
        arguments = shlex.split(text)
    except ValueError:  # an open quote
        arguments = text.split()
    else:
        outside_of_quotes = re.sub(r'"[^"]*"', "", unquoted)
        if re.search(_EXPANSION, unquoted) or re.search(_OPERATOR, outside_of_quotes):
            arguments = ["sh", "-c", text]
    return f"[{', '.join(quote_text(argument, in_flow=True) for argument in arguments)}]"
