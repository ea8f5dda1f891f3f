"""apt's configuration (apt.conf(5)) and its login files (apt_auth.conf(5)): enough to fetch as apt would."""

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
FALSE = frozenset({"no", "false", "without", "off", "disable", "0"})
_MAX_DEPTH = 100


class Configuration(msgspec.Struct, frozen=True):
    """A tree of options, flat: lower-case names joined by ``::`` to the last value given."""

    values: dict[str, str] = {}

    def get(self, name: str, default: str = "") -> str:
        """Return the value of ``name`` (case does not matter), ``default`` if it has none or an empty one."""
        return self.values.get(name.lower()) or default

    def get_boolean(self, name: str) -> bool | None:
        """Return the truth of ``name`` as apt reads it, None if it is not set to one."""
        text = self.get(name).lower()
        return True if text in _TRUE else False if text in FALSE else None


class Login(msgspec.Struct, frozen=True):
    """One ``machine`` of a login file; ``scheme`` "" means encrypted transports only."""

    host: str
    scheme: str = ""
    port: int | None = None
    path: str = ""
    user: str = ""
    password: str = ""

    def matches(self, scheme: str, host: str, port: int | None, path: str) -> bool:
        """Say whether this login is meant for a URL with these parts (apt_auth.conf(5)).

        ``port`` is None where the URL names none: a login for a port is not for the default one.
        """
        allowed = scheme == self.scheme if self.scheme else scheme == "https"
        return (
            allowed
            and host.lower() == self.host
            and (self.port is None or self.port == port)
            and path.startswith(self.path)
        )


def read_configuration(files: Iterable[tuple[str, bytes]]) -> Configuration:
    """Return the configuration that the named files make, read one after the other.

    Later values win, ``#clear`` forgets a subtree; ``#include`` is ignored. Raises FormatError.
    """
    values: dict[str, str] = {}
    for where, data in files:
        _read_options(_tokens(data.decode("utf-8", "replace"), where), values, where)
    return Configuration(values)


def _tokens(text: str, where: str) -> list[tuple[str, str, int]]:
    """Return (kind, text, line) of each token that counts."""
    tokens = []
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise FormatError("a quoted value has no end", where=f"{where}:{line}")
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
                    raise FormatError("a closing brace closes nothing", where=f"{where}:{line}")
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
    if statement[0][0] == "string":  # an item of a list, which has no name
        return
    name = "::".join([*scopes, arguments[0]]).lower()
    if not name.endswith("::"):
        values[name] = arguments[1] if len(arguments) > 1 else ""


def read_logins(data: bytes, *, where: str = "") -> list[Login]:
    """Return the logins of one ``auth.conf`` file in order; raises FormatError for a bad port."""
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
    return [_login(item, where) for item in machines]


def _login(item: dict[str, str], where: str) -> Login:
    scheme, separator, remainder = item["machine"].rpartition("://")
    host, slash, path = remainder.partition("/")
    port = None
    if host.rfind(":") > host.rfind("]"):
        host, _, digits = host.rpartition(":")
        if not (digits.isascii() and digits.isdigit() and 0 < int(digits[:6]) < 65536):
            raise FormatError(f"{digits[:20]!r} is not a port", where=where or None)
        port = int(digits)
    return Login(
        host=host.lower(),
        scheme=scheme.lower() if separator else "",
        port=port,
        path=slash + path,
        user=item.get("login", ""),
        password=item.get("password", ""),
    )
