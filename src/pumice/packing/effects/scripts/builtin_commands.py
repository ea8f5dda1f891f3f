"""Shell built-ins that change variables and arguments (Shell Command Language, 2.14).

Each returns the status of the command: true for success, None if it is unknown.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pumice.formats.shellwords import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.formats import shelltree
    from pumice.formats.shellwords import Word
    from pumice.packing.effects.scripts.scope import Scope, Value


def declare_variables(scope: Scope, words: Sequence[Word]) -> bool:
    """``export``, ``readonly``, ``local`` and ``declare``: assign variables."""
    for word in words:
        if not word or word[0].kind != "text" or "=" not in word[0].text:
            continue
        name, _, start = word[0].text.partition("=")
        scope.values[name] = scope.expand_word((Part("text", start, quoted=True), *word[1:]))
    return True


def unset_variables(scope: Scope, words: Sequence[Value]) -> bool:
    """``unset``: remove variables."""
    for word in words[1:]:
        scope.values.pop(word or "", None)
    return True


def set_arguments(scope: Scope, words: Sequence[Value]) -> bool:
    """``set``: the words after ``--`` become the arguments; options are ignored."""
    if "--" in words:
        scope.arguments = list(words[list(words).index("--") + 1 :])
    return True


def shift_arguments(scope: Scope, words: Sequence[Value]) -> bool:
    """``shift``: remove the first arguments."""
    count = words[1] if len(words) > 1 else "1"
    del scope.arguments[: int(count) if count and count.isdecimal() and len(count) < 5 else 1]
    return True


def read_line(scope: Scope, words: Sequence[Value], lines: list[str] | None) -> bool | None:
    """``read``: assign the fields of the next of ``lines``, which are None if the input is unknown."""
    names = [word for word in words[1:] if word and word != "-r"]
    is_raw = "-r" in words[1:]
    if lines is None or None in words or "IFS" in scope.values or any(name[0] == "-" for name in names):
        scope.values.update(dict.fromkeys((name for name in names if name[0] != "-"), None))
        return None
    if not lines:
        scope.values.update(dict.fromkeys(names, ""))
        return False
    line = lines.pop(0)
    if "\\" in line and not is_raw:
        scope.values.update(dict.fromkeys(names, None))
        return True
    fields = line.split(None, max(len(names) - 1, 0)) if names else []
    fields += [""] * (len(names) - len(fields))
    scope.values.update(zip(names, (field.rstrip(" \t") for field in fields), strict=True))
    return True


def read_debconf_answer(
    scope: Scope, words: Sequence[Value], find_default: Callable[[str], Value]
) -> bool | None:
    """``db_get``: set ``RET`` to the default of the question, as in a noninteractive installation."""
    question = words[1] if len(words) > 1 else None
    default = None if question is None else find_default(question)
    scope.values["RET"] = default
    return None if default is None else True


def change_directory(working_directory: Value, words: Sequence[Value], *, is_certain: bool) -> Value:
    """Return the working directory after ``cd``; None if it is unknown."""
    target = words[1] if len(words) > 1 else None
    if target is None or not is_certain or target.startswith("-"):
        return None
    if not target.startswith("/") and working_directory is None:
        return None
    return posixpath.normpath(posixpath.join(working_directory or "/", target))


def here_document_lines(documents: Sequence[shelltree.Redirect]) -> list[str] | None:
    """Return the lines of the last here-document; None if it contains expansions."""
    target = documents[-1].target
    if len(target) != 1 or target[0].kind != "text":
        return None
    return target[0].text.splitlines()
