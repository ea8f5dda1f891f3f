"""Logins, from where docker, podman and skopeo keep them.

``$REGISTRY_AUTH_FILE`` alone if it is set; else containers' ``auth.json``
(``$XDG_RUNTIME_DIR/containers``, ``~/.config/containers``) before docker's ``config.json``
(``$DOCKER_CONFIG``, ``~/.docker``). In each, a key is a host or the beginning of a repository
(``HOST/TEAM``), and the longest that fits decides: containers-auth.json(5).
"""

from __future__ import annotations

import base64
import binascii
import codecs
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from pumice.errors import FormatError, PumiceError
from pumice.registry import keychain
from pumice.registry.reference import HUB, Repository, check_host

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_FILE = 4 << 20


class Login(msgspec.Struct, frozen=True):
    """What a registry knows a person by: one of a password, an identity token, a registry token.

    Never printed: its repr and str name the user only.
    """

    user: str = ""
    password: str = ""
    identity: str = ""
    """A refresh token, good for access tokens (OAuth 2)."""
    bearer: str = ""
    """An access token, used as it is."""

    def __repr__(self) -> str:
        return f"Login(user={self.user!r})"

    __str__ = __repr__

    @property
    def basic(self) -> str:
        """The value of ``Authorization`` for basic authentication, "" without a password."""
        if not self.password:
            return ""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class Credentials(Protocol):
    """Where logins come from."""

    def find(self, repository: Repository) -> Login | None:
        """Return the login for a repository, None if there is none: then it is asked anonymously."""


class Anonymous:
    """No logins at all."""

    def find(self, repository: Repository) -> Login | None:  # noqa: ARG002
        """Return none."""
        return None


class Given:
    """One login, for one host."""

    def __init__(self, host: str, login: Login) -> None:
        self._host = host
        self._login = login

    def find(self, repository: Repository) -> Login | None:
        """Return the login if the repository is of its host."""
        return self._login if repository.host == self._host else None


class AuthFiles:
    """The files of this machine, read when first needed."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._files: list[AuthFile] | None = None

    def find(self, repository: Repository) -> Login | None:
        """Return the login of the first file that has one; raises FormatError for a file that is none."""
        if self._files is None:
            self._files = [read(path) for path in locations(self._environ)]
        for file in self._files:
            found = file.find(repository)
            if found is not None:
                return found
        return None


def locations(environ: Mapping[str, str]) -> list[Path]:
    """Return where logins are looked for, first things first."""
    if chosen := environ.get("REGISTRY_AUTH_FILE"):
        return [Path(chosen)]
    home = environ.get("HOME") or ""
    found = []
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        found.append(Path(runtime, "containers", "auth.json"))
    if config := environ.get("XDG_CONFIG_HOME") or (home and str(Path(home, ".config"))):
        found.append(Path(config, "containers", "auth.json"))
    if docker := environ.get("DOCKER_CONFIG") or (home and str(Path(home, ".docker"))):
        found.append(Path(docker, "config.json"))
    return found


def read(path: Path) -> AuthFile:
    """Read one file; one that is not there is empty. Raises FormatError, PumiceError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return AuthFile({}, path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PumiceError(f"the logins cannot be read: {reason}", where=str(path)) from error
    try:
        data = data.removeprefix(codecs.BOM_UTF8)  # as some editors write it
        content = msgspec.json.decode(data) if data.strip() and len(data) <= MAX_FILE else {}
    except (msgspec.MsgspecError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise FormatError("the file of logins is not a JSON object", where=str(path))
    return AuthFile(content, path)


class AuthFile:
    """One file of logins; ``content`` is all of its JSON, known or not."""

    def __init__(self, content: dict[str, Any], path: Path) -> None:
        self.content = content
        self.path = path

    def find(self, repository: Repository) -> Login | None:
        """Return the login for a repository: a helper's of its own, the file's, the general helper's."""
        keys = list(_keys(repository))
        helpers = _normal(self.table("credHelpers"))
        for key in keys:
            name = helpers.get(key)
            if isinstance(name, str) and name:
                found = keychain.get(name, _spelled(self.table("credHelpers"), key))
                if found is not None:
                    return _of_helper(*found)
        entries = _normal(self.table("auths"))
        for key in keys:
            login = _login(entries.get(key), str(self.path))
            if login is not None:
                return login
        general = self.content.get("credsStore")
        if isinstance(general, str) and general:
            found = keychain.get(general, helper_key(repository.host))
            if found is not None:
                return _of_helper(*found)
        return None

    def table(self, name: str) -> dict[str, Any]:
        """Return a table of the file, empty if it is not there."""
        found = self.content.get(name)
        return found if isinstance(found, dict) else {}

    def helper_for(self, key: str) -> str:
        """Return the credential helper that keeps the login of ``key``, "" for none."""
        own = _normal(self.table("credHelpers")).get(key)
        name = own or self.content.get("credsStore")
        return name if isinstance(name, str) else ""


def helper_key(host: str) -> str:
    """Return what docker's helpers know a host by."""
    return f"https://index.{HUB}/v1/" if host == HUB else host


def _keys(repository: Repository) -> Iterator[str]:
    """Yield what may name a repository, the longest first."""
    parts = repository.name.split("/") if repository.name else []
    for count in range(len(parts), -1, -1):
        yield "/".join([repository.host, *parts[:count]])


def normal(key: str) -> str:
    """Return the key of an entry as ``HOST[/PATH]``: old files have whole URLs."""
    _, scheme, rest = key.rpartition("://")
    text = (rest if scheme else key).rstrip("/")
    text = text.removesuffix("/v1").removesuffix("/v2")
    host, slash, path = text.partition("/")
    try:
        return check_host(host) + slash + path
    except PumiceError:
        return text


def _normal(table: dict[str, Any]) -> dict[str, Any]:
    """Return a table by normal keys; the one that is written normally goes first."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = normal(key)
        if key == name or name not in found:
            found[name] = value
    return found


def _spelled(table: dict[str, Any], key: str) -> str:
    return key if key in table else next(name for name in table if normal(name) == key)


def _of_helper(user: str, secret: str) -> Login:
    return Login(identity=secret) if user == "<token>" else Login(user, secret)


def _base64(text: str) -> bytes:
    """Decode base64 that may be wrapped in lines or lack its padding: people paste it."""
    digits = "".join(text.split()).rstrip("=")
    return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)


def _login(entry: object, where: str) -> Login | None:
    """Read an entry of ``auths``; one without anything in it is none (docker leaves those for helpers)."""
    if not isinstance(entry, dict):
        return None
    values = {name: value for name, value in entry.items() if isinstance(value, str) and value}
    user, password = values.get("username", ""), values.get("password", "")
    if "auth" in values:
        try:
            text = _base64(values["auth"]).decode()
        except (binascii.Error, ValueError):
            raise FormatError("a login in the file is malformed", where=where) from None
        user, _, password = text.rstrip("\0").partition(":")
    login = Login(user, password, values.get("identitytoken", ""), values.get("registrytoken", ""))
    return login if login.password or login.identity or login.bearer else None
