"""apt's configuration (apt.conf(5)) and its login files (apt_auth.conf(5))."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/|\#(?!clear\b|include\b)[^\n]*)
      | (?P<string>"[^"\n]*")
      | (?P<mark>[{};])
      | (?P<word>[^\s{};"]+)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_TRUE = frozenset({"yes", "true", "with", "on", "enable", "1"})
_FALSE = frozenset({"no", "false", "without", "off", "disable", "0"})
_MAX_DEPTH = 100


def parse_boolean(text: str) -> bool | None:
    """Return a boolean as apt reads it (``StringToBool``); None if ``text`` is not one."""
    lowercase_text = text.strip().lower()
    return True if lowercase_text in _TRUE else False if lowercase_text in _FALSE else None


class Configuration(msgspec.Struct, frozen=True):
    """A flattened tree of options: full names in lower case, joined by ``::``, to the last value."""

    values: dict[str, str] = {}

    def get(self, name: str, default: str = "") -> str:
        """Return the value of ``name`` (case-insensitive); ``default`` if it is unset or empty."""
        return self.values.get(name.lower()) or default

    def get_boolean(self, name: str) -> bool | None:
        """Return the boolean value of ``name`` as apt reads it; None if it is not a boolean."""
        return parse_boolean(self.get(name))


class Login(msgspec.Struct, frozen=True):
    """One ``machine`` entry of a login file; an empty ``scheme`` means encrypted transports only."""

    host: str
    scheme: str = ""
    port: int | None = None
    path: str = ""
    user: str = ""
    password: str = ""

    def matches(self, scheme: str, host: str, port: int | None, path: str) -> bool:
        """Return whether this login applies to a URL with these parts (apt_auth.conf(5)).

        ``port`` is None if the URL has none; a login with a port does not apply to the default port.
        """
        scheme_matches = scheme == self.scheme if self.scheme else scheme == "https"
        return (
            scheme_matches
            and host.lower() == self.host
            and (self.port is None or self.port == port)
            and path.startswith(self.path)
        )


def read_configuration(files: Iterable[tuple[str, bytes]]) -> Configuration:
    """Return the configuration of several (name, content) files, read in order.

    Later values override earlier ones, and ``#clear`` removes a subtree; ``#include`` is ignored.
    Raises FormatError.
    """
    values: dict[str, str] = {}
    for where, data in files:
        _read_options(_tokenize(data.decode("utf-8", "replace"), where), values, where)
    return Configuration(values)


def _tokenize(text: str, where: str) -> list[tuple[str, str, int]]:
    """Return (kind, text, line) of each token except white space and comments."""
    tokens = []
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise FormatError("a quoted value is not closed", where=f"{where}:{line}")
        if match.lastgroup and match.lastgroup != "space":
            tokens.append((match.lastgroup, match[0], line))
        line += match[0].count("\n")
        position = match.end()
    return tokens


def _read_options(tokens: Sequence[tuple[str, str, int]], values: dict[str, str], where: str) -> None:
    scopes: list[str] = []
    statement: list[tuple[str, str]] = []
    for kind, text, line in tokens:
        if kind != "mark":
            statement.append((kind, text))
        elif text == "{":
            if len(scopes) >= _MAX_DEPTH:
                raise FormatError("scopes are nested too deeply", where=f"{where}:{line}")
            scopes.append(statement[0][1].strip('"') if statement else "")
            statement = []
        else:
            _assign(statement, scopes, values)
            statement = []
            if text == "}":
                if not scopes:
                    raise FormatError("unmatched closing brace", where=f"{where}:{line}")
                scopes.pop()
    if scopes or statement:
        raise FormatError("the file ends in the middle of an option", where=where)


def _assign(statement: Sequence[tuple[str, str]], scopes: Sequence[str], values: dict[str, str]) -> None:
    if not statement:
        return
    arguments = [text.strip('"') for _, text in statement]
    if arguments[0].lower() == "#include":
        return
    if arguments[0].lower() == "#clear":
        for name in arguments[1:]:
            prefix = "::".join([*scopes, name]).lower().rstrip(":")
            for key in [key for key in values if key == prefix or key.startswith(prefix + "::")]:
                del values[key]
        return
    if statement[0][0] == "string":  # an item of a list has no name
        return
    name = "::".join([*scopes, arguments[0]]).lower()
    if not name.endswith("::"):
        values[name] = arguments[1] if len(arguments) > 1 else ""


def read_logins(data: bytes, *, where: str = "") -> list[Login]:
    """Return the logins of one ``auth.conf`` file in order; raises FormatError for an invalid port."""
    machines: list[dict[str, str]] = []
    lines = data.decode("utf-8", "replace").split("\n")
    tokens = iter([token for line in lines if not line.lstrip().startswith("#") for token in line.split()])
    for keyword in tokens:
        if keyword in {"machine", "login", "password", "account", "port"}:
            value = next(tokens, "")
            if keyword == "machine":
                machines.append({"machine": value})
            elif machines:
                machines[-1].setdefault(keyword, value)
    return [_parse_login(machine, where) for machine in machines]


def _parse_login(machine: dict[str, str], where: str) -> Login:
    scheme, separator, remainder = machine["machine"].rpartition("://")
    host, slash, path = remainder.partition("/")
    port = None
    if host.rfind(":") > host.rfind("]"):
        host, _, digits = host.rpartition(":")
        if not (digits.isascii() and digits.isdigit() and 0 < int(digits[:6]) < 65536):
            raise FormatError(f"{digits[:20]!r} is not a port number", where=where or None)
        port = int(digits)
    return Login(
        host=host.lower(),
        scheme=scheme.lower() if separator else "",
        port=port,
        path=slash + path,
        user=machine.get("login", ""),
        password=machine.get("password", ""),
    )
