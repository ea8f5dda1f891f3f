"""The configuration files of access control: htpasswd, and identities and rules in YAML.

All problems of a file are reported at once.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pumice.errors import Problem, RecipeError, UsageError
from pumice.formats import yaml
from pumice.registry.server import grammar
from pumice.registry.server.access import ALL_USERS, EVERYONE, Grants, Identity

if TYPE_CHECKING:
    from collections.abc import Iterable

_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_MIN_COST = 4
_MAX_COST = 15
"""Each step doubles the time of a check; this cost takes about a second."""

_ANY_REPOSITORY = "*"
_KEYS = ("read", "write")
_CLAIM = re.compile(r"[A-Za-z][A-Za-z0-9_./:-]{0,99}")


class AccessError(RecipeError):
    """The configuration of access control cannot be used; it has every problem that was found."""

    exit_code = UsageError.exit_code


def parse_passwords(data: bytes, file: str) -> dict[str, bytes]:
    """Return password hashes by user from lines as ``htpasswd -B`` writes them; raises AccessError."""
    hashes: dict[str, bytes] = {}
    problems: list[Problem] = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        user, _, password_hash = text.partition(":")
        problem = _find_problem(text, user, password_hash)
        problem = problem or (f"duplicate user '{user}'" if user in hashes else "")
        if problem:
            hint = "'htpasswd -B' writes such a line"
            problems.append(Problem(problem, where=f"{file}:{number}:1", hint=hint))
        else:
            hashes[user] = password_hash.encode()
    if not hashes and not problems:
        problems.append(
            Problem("the file has no users", where=file, hint=f"add one with 'htpasswd -B {file} NAME'")
        )
    if problems:
        raise AccessError(problems)
    return hashes


def _find_problem(text: str, user: str, password_hash: str) -> str:
    """Return what is wrong with a line; "" if nothing is."""
    if not user or ":" not in text:
        return "the line is not of the form 'user:hash'"
    if "\ufffd" in text:
        return "the line is not UTF-8"
    if user in (EVERYONE, ALL_USERS):
        return f"'{user}' cannot be a user name, because it has another meaning in rules"
    bcrypt = _BCRYPT.fullmatch(password_hash)
    if bcrypt is None:
        return "the password is not hashed with bcrypt"
    if not _MIN_COST <= int(bcrypt[1]) <= _MAX_COST:
        return f"the bcrypt cost {bcrypt[1]} is not between {_MIN_COST} and {_MAX_COST}"
    return ""


def parse_rules(data: bytes, file: str, users: Iterable[str]) -> dict[str, Grants]:
    """Return rules by prefix; ``users`` are the names that may be used in them. Raises AccessError.

    team/app:
      read: [anonymous]
      write: [alice, ci]
    "*": {read: [users]}
    """
    document = yaml.read_document(data, file)
    problems = list(document.problems)
    rules: dict[str, Grants] = {}
    root = document.root
    if root is None and not problems:
        problems.append(Problem("the file has no rules", where=file))
    elif isinstance(root, yaml.Mapping):
        names = frozenset(users)
        for key, value in root.items:
            prefix = _parse_prefix(key, problems)
            grants = _parse_grants(value, names, problems)
            if prefix is not None:
                rules[prefix] = grants
    elif root is not None:
        message = "rules must be a mapping from prefixes to 'read' and 'write'"
        problems.append(Problem(message, where=yaml.format_location(root)))
    if problems:
        raise AccessError(problems)
    return rules


def parse_identities(data: bytes, file: str, users: Iterable[str]) -> tuple[Identity, ...]:
    """Return identities from claims by user name; ``users`` are names that are taken. Raises AccessError.

    builder:
      image: example.com/builder:*
      sub: pod:builder:app:main
    """
    document = yaml.read_document(data, file)
    problems = list(document.problems)
    identities: list[Identity] = []
    root = document.root
    if isinstance(root, yaml.Mapping):
        taken_names = {*users, EVERYONE, ALL_USERS}
        for key, value in root.items:
            if key.text in taken_names or not key.text.isprintable() or ":" in key.text or not key.text:
                message = f"{key.text[:60]!r} cannot be the name of an identity"
                hint = "use another name than those of users, without a colon"
                problems.append(Problem(message, where=yaml.format_location(key), hint=hint))
            identities.append(Identity(key.text, _parse_conditions(key, value, problems)))
    elif not problems:
        message = "identities must be a mapping from names to claims"
        where = yaml.format_location(root) if root is not None else file
        problems.append(Problem(message, where=where))
    if not identities and not problems:
        problems.append(Problem("the file has no identities", where=file))
    if problems:
        raise AccessError(problems)
    return tuple(identities)


def _parse_conditions(
    key: yaml.Scalar, value: yaml.Node, problems: list[Problem]
) -> tuple[tuple[str, str], ...]:
    """Return the conditions of an identity; one without any would be everyone with a token."""
    conditions: list[tuple[str, str]] = []
    for claim, pattern in value.items if isinstance(value, yaml.Mapping) else ():
        if not isinstance(pattern, yaml.Scalar) or not pattern.text or not _CLAIM.fullmatch(claim.text):
            message = f"expected the name of a claim and a text, at {claim.text[:40]!r}"
            problems.append(Problem(message, where=yaml.format_location(claim)))
        else:
            conditions.append((claim.text, pattern.text))
    if not conditions:
        hint = "write for example: image: example.com/builder:*"
        message = f"the identity {key.text[:60]!r} needs at least one claim"
        problems.append(Problem(message, where=yaml.format_location(key), hint=hint))
    return tuple(conditions)


def _parse_prefix(key: yaml.Scalar, problems: list[Problem]) -> str | None:
    if key.text == _ANY_REPOSITORY:
        return ""
    if grammar.is_repository_name(key.text):
        return key.text
    problems.append(
        Problem(
            f"{key.text[:80]!r} is not a valid repository prefix",
            where=yaml.format_location(key),
            hint="a prefix is whole path elements, such as team/app; '*' is every repository",
        )
    )
    return None


def _parse_grants(value: yaml.Node, users: frozenset[str], problems: list[Problem]) -> Grants:
    if not isinstance(value, yaml.Mapping):
        message = "a rule must be a mapping with 'read' and 'write'"
        problems.append(Problem(message, where=yaml.format_location(value)))
        return Grants()
    grants: dict[str, frozenset[str]] = {}
    for key, names in value.items:
        if key.text in _KEYS:
            grants[key.text] = _parse_users(names, users, problems)
        else:
            close = get_close_matches(key.text, _KEYS, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "use 'read' and 'write'"
            problems.append(
                Problem(
                    f"unknown key {key.text[:40]!r} in a rule", where=yaml.format_location(key), hint=hint
                )
            )
    return Grants(**grants)


def _parse_users(node: yaml.Node, users: frozenset[str], problems: list[Problem]) -> frozenset[str]:
    if not isinstance(node, yaml.Sequence):
        hint = "write [alice, bob] or [anonymous]"
        problems.append(Problem("expected a list of users", where=yaml.format_location(node), hint=hint))
        return frozenset()
    names: set[str] = set()
    for item in node.items:
        if not isinstance(item, yaml.Scalar):
            problems.append(Problem("a user name must be a string", where=yaml.format_location(item)))
        elif item.text not in users and item.text not in (EVERYONE, ALL_USERS):
            close = get_close_matches(item.text, [*users, EVERYONE, ALL_USERS], n=1)
            hint = (
                f"did you mean '{close[0]}'?"
                if close
                else f"use a name from the htpasswd file, or '{EVERYONE}' for everyone"
            )
            problems.append(
                Problem(f"unknown user {item.text[:60]!r}", where=yaml.format_location(item), hint=hint)
            )
        else:
            names.add(item.text)
    return frozenset(names)
