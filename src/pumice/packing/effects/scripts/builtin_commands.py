"""Built-in commands of a shell that change variables and arguments, and nothing else."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pumice.formats.shellwords import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.formats import shell
    from pumice.formats.shellwords import Word
    from pumice.packing.effects.scripts.scope import Scope, Value


def declare(scope: Scope, words: Sequence[Word]) -> bool:
    """``export``, ``local`` and their kin."""
    for word in words:
        if not word or word[0].kind != "text" or "=" not in word[0].text:
            continue
        name, _, start = word[0].text.partition("=")
        scope.values[name] = scope.one((Part("text", start, quoted=True), *word[1:]))
    return True


def unset(scope: Scope, words: Sequence[Value]) -> bool:
    """``unset``."""
    for word in words[1:]:
        scope.values.pop(word or "", None)
    return True


def set_arguments(scope: Scope, words: Sequence[Value]) -> bool:
    """``set``: options change nothing here, what follows ``--`` are the arguments."""
    if "--" in words:
        scope.arguments = list(words[list(words).index("--") + 1 :])
    return True


def shift(scope: Scope, words: Sequence[Value]) -> bool:
    """``shift``."""
    count = words[1] if len(words) > 1 else "1"
    del scope.arguments[: int(count) if count and count.isdecimal() and len(count) < 5 else 1]
    return True


def read(scope: Scope, words: Sequence[Value], lines: list[str] | None) -> bool | None:
    """``read``: take the next of ``lines``, which are None where they are not known."""
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


def ask(scope: Scope, words: Sequence[Value], answer_of: Callable[[str], Value]) -> bool | None:
    """``db_get``: the answer is the question's default, for nobody was asked."""
    question = words[1] if len(words) > 1 else None
    answer = None if question is None else answer_of(question)
    scope.values["RET"] = answer
    return None if answer is None else True


def changed_folder(folder: Value, words: Sequence[Value], *, is_certain: bool) -> Value:
    """Return where ``cd`` leads from ``folder``."""
    target = words[1] if len(words) > 1 else None
    if target is None or not is_certain or target.startswith("-"):
        return None
    if not target.startswith("/") and folder is None:
        return None
    return posixpath.normpath(posixpath.join(folder or "/", target))


def document_lines(documents: Sequence[shell.Redirect]) -> list[str] | None:
    """Return the lines of the last here-document, None if it has expansions in it."""
    target = documents[-1].target
    if len(target) != 1 or target[0].kind != "text":
        return None
    return target[0].text.splitlines()
