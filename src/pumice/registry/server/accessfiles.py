"""The two files by which access is configured: htpasswd, and rules in YAML. All problems are told at once."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pumice.errors import Problem, RecipeError
from pumice.formats import yaml
from pumice.registry.server.access import ANYBODY, USERS, Grants
from pumice.registry.server.calls import MAX_NAME, NAME

if TYPE_CHECKING:
    from collections.abc import Iterable

_HASH = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_DEAREST = 15
"""Each step doubles the time; this is about a second."""

EVERYTHING = "*"
_KEYS = ("read", "write")


class AccessError(RecipeError):
    """The configuration of who may do what cannot be used, with every problem that was found."""

    exit_code = 2


def passwords(data: bytes, file: str) -> dict[str, bytes]:
    """Read lines of ``user:hash`` as ``htpasswd -B`` writes them; raises AccessError."""
    found: dict[str, bytes] = {}
    problems: list[Problem] = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        user, _, hashed = text.partition(":")
        wrong = _wrong(text, user, hashed) or (f"the user '{user}' is there twice" if user in found else "")
        if wrong:
            hint = "htpasswd -B writes such a line"
            problems.append(Problem(wrong, where=f"{file}:{number}:1", hint=hint))
        else:
            found[user] = hashed.encode()
    if not found and not problems:
        problems.append(
            Problem("the file has no users", where=file, hint=f"htpasswd -B {file} NAME adds one")
        )
    if problems:
        raise AccessError(problems)
    return found


def _wrong(text: str, user: str, hashed: str) -> str:
    if not user or ":" not in text:
        return "this is not 'user:hash'"
    if "\ufffd" in text:
        return "the line is not UTF-8"
    if user in (ANYBODY, USERS):
        return f"a user cannot be called '{user}': in rules, the word has another meaning"
    bcrypt = _HASH.fullmatch(hashed)
    if bcrypt is None:
        return "the password is not hashed with bcrypt"
    if not 4 <= int(bcrypt[1]) <= _DEAREST:
        return f"a cost of {bcrypt[1]} is not between 4 and {_DEAREST}"
    return ""


def rules(data: bytes, file: str, users: Iterable[str]) -> dict[str, Grants]:
    """Read rules by prefix; ``users`` are those that may be named. Raises AccessError.

    team/app:
      read: [anonymous]
      write: [alice, ci]
    "*": {read: [users]}
    """
    document = yaml.read_document(data, file)
    problems = list(document.problems)
    made: dict[str, Grants] = {}
    root = document.root
    if root is None and not problems:
        problems.append(Problem("the file has no rules", where=file))
    elif isinstance(root, yaml.Mapping):
        names = frozenset(users)
        for key, value in root.items:
            prefix = _prefix(key, problems)
            grants = _grants(value, names, problems)
            if prefix is not None:
                made[prefix] = grants
    elif root is not None:
        problems.append(Problem("rules are a map from prefixes to who may", where=yaml.format_location(root)))
    if problems:
        raise AccessError(problems)
    return made


def _prefix(key: yaml.Scalar, problems: list[Problem]) -> str | None:
    if key.text == EVERYTHING:
        return ""
    if len(key.text) <= MAX_NAME and NAME.fullmatch(key.text):
        return key.text
    problems.append(
        Problem(
            f"{key.text[:80]!r} cannot begin the name of a repository",
            where=yaml.format_location(key),
            hint="a prefix is whole path elements, such as team/app; '*' is every repository",
        )
    )
    return None


def _grants(value: yaml.Node, users: frozenset[str], problems: list[Problem]) -> Grants:
    if not isinstance(value, yaml.Mapping):
        problems.append(Problem("a rule is a map with 'read' and 'write'", where=yaml.format_location(value)))
        return Grants()
    found: dict[str, frozenset[str]] = {}
    for key, who in value.items:
        if key.text in _KEYS:
            found[key.text] = _who(who, users, problems)
        else:
            close = get_close_matches(key.text, _KEYS, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "use 'read' and 'write'"
            problems.append(
                Problem(f"a rule has no key {key.text[:40]!r}", where=yaml.format_location(key), hint=hint)
            )
    return Grants(**found)


def _who(node: yaml.Node, users: frozenset[str], problems: list[Problem]) -> frozenset[str]:
    if not isinstance(node, yaml.Sequence):
        message = "this is a list of users"
        problems.append(
            Problem(message, where=yaml.format_location(node), hint="write [alice, bob] or [anonymous]")
        )
        return frozenset()
    found: set[str] = set()
    for item in node.items:
        if not isinstance(item, yaml.Scalar):
            problems.append(Problem("a user is a text", where=yaml.format_location(item)))
        elif item.text not in users and item.text not in (ANYBODY, USERS):
            close = get_close_matches(item.text, [*users, ANYBODY, USERS], n=1)
            hint = (
                f"did you mean '{close[0]}'?"
                if close
                else f"htpasswd has the users; '{ANYBODY}' is everybody"
            )
            problems.append(
                Problem(f"there is no user {item.text[:60]!r}", where=yaml.format_location(item), hint=hint)
            )
        else:
            found.add(item.text)
    return frozenset(found)
