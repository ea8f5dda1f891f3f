"""Reads logins from the files of docker, podman and skopeo.

Only ``$REGISTRY_AUTH_FILE`` if it is set; otherwise containers' ``auth.json``
(``$XDG_RUNTIME_DIR/containers``, ``~/.config/containers``), then docker's ``config.json``
(``$DOCKER_CONFIG``, ``~/.docker``). The keys in a file are hosts or prefixes of repositories
(``HOST/TEAM``); the longest matching key is used: containers-auth.json(5).
"""

from __future__ import annotations

import base64
import binascii
import codecs
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from pumice.errors import FormatError, PumiceError, UsageError
from pumice.registry import credential_helpers
from pumice.registry.reference import DOCKER_HUB, Repository, normalize_host

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_FILE = 4 << 20


class Login(msgspec.Struct, frozen=True):
    """A login: a username and password, an identity token, or a registry token.

    Its repr and str only have the username, so that no secret is printed.
    """

    username: str = ""
    password: str = ""
    identity_token: str = ""
    """An OAuth 2 refresh token, to request access tokens with."""
    registry_token: str = ""
    """An access token, used unchanged."""

    def __repr__(self) -> str:
        return f"Login(user={self.username!r})"

    __str__ = __repr__

    @property
    def basic_authorization(self) -> str:
        """The ``Authorization`` header for basic authentication, "" without a password."""
        if not self.password:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class Credentials(Protocol):
    """A source of logins."""

    def find_login(self, repository: Repository) -> Login | None:
        """Return the login for a repository, or None for anonymous access."""


class Anonymous:
    """Anonymous access to every registry."""

    def find_login(self, repository: Repository) -> Login | None:  # noqa: ARG002 - part of the protocol
        """Return None."""
        return None


class StaticCredentials:
    """One login for one host."""

    def __init__(self, host: str, login: Login) -> None:
        self._host = host
        self._login = login

    def find_login(self, repository: Repository) -> Login | None:
        """Return the login if the repository is on its host."""
        return self._login if repository.host == self._host else None


class NamedRegistryLogin:
    """A login of the command line, for the one registry that is contacted of those that it names."""

    def __init__(self, login: Login, hosts: frozenset[str]) -> None:
        self._login = login
        self._hosts = hosts
        self._host = ""

    def find_login(self, repository: Repository) -> Login | None:
        """Return the login, None for other registries, such as mirrors; raises UsageError for a second."""
        if repository.host not in self._hosts:
            return None
        self._host = self._host or repository.host
        if repository.host != self._host:
            raise UsageError(
                f"the login of --creds is for one registry, not for {self._host} and {repository.host}",
                hint="log in to both with 'pumice login'",
            )
        return self._login


class AuthFiles:
    """The authentication files of the user, read on first use."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._files: list[AuthFile] | None = None

    def find_login(self, repository: Repository) -> Login | None:
        """Return the login from the first file that has one; raises FormatError for a malformed file."""
        if self._files is None:
            self._files = [read_auth_file(path) for path in auth_file_paths(self._environ)]
        for file in self._files:
            login = file.find_login(repository)
            if login is not None:
                return login
        return None


def auth_file_paths(environ: Mapping[str, str]) -> list[Path]:
    """Return the paths of the authentication files, in order of precedence."""
    if auth_file := environ.get("REGISTRY_AUTH_FILE"):
        return [Path(auth_file)]
    home = environ.get("HOME") or ""
    paths = []
    if runtime_dir := environ.get("XDG_RUNTIME_DIR"):
        paths.append(Path(runtime_dir, "containers", "auth.json"))
    if config_dir := environ.get("XDG_CONFIG_HOME") or (home and str(Path(home, ".config"))):
        paths.append(Path(config_dir, "containers", "auth.json"))
    if docker_dir := environ.get("DOCKER_CONFIG") or (home and str(Path(home, ".docker"))):
        paths.append(Path(docker_dir, "config.json"))
    return paths


def read_auth_file(path: Path) -> AuthFile:
    """Return an authentication file, empty if it does not exist; raises FormatError, PumiceError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return AuthFile({}, path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PumiceError(f"cannot read the authentication file: {reason}", where=str(path)) from error
    try:
        data = data.removeprefix(codecs.BOM_UTF8)  # some editors write one
        content = msgspec.json.decode(data) if data.strip() and len(data) <= MAX_FILE else {}
    except (msgspec.MsgspecError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise FormatError("the authentication file is not a JSON object", where=str(path))
    return AuthFile(content, path)


class AuthFile:
    """One authentication file; ``content`` is its decoded JSON, with unknown fields."""

    def __init__(self, content: dict[str, Any], path: Path) -> None:
        self.content = content
        self.path = path

    def find_login(self, repository: Repository) -> Login | None:
        """Return the login for a repository: from its own helper, the file, or the default helper."""
        keys = list(_candidate_keys(repository))
        helpers = _normalize_keys(self.table("credHelpers"))
        for key in keys:
            name = helpers.get(key)
            if isinstance(name, str) and name:
                helper_login = credential_helpers.get(name, _original_key(self.table("credHelpers"), key))
                if helper_login is not None:
                    return _login_from_helper(*helper_login)
        entries = _normalize_keys(self.table("auths"))
        for key in keys:
            login = _parse_entry(entries.get(key), str(self.path))
            if login is not None:
                return login
        default_helper = self.content.get("credsStore")
        if isinstance(default_helper, str) and default_helper:
            helper_login = credential_helpers.get(default_helper, helper_key(repository.host))
            if helper_login is not None:
                return _login_from_helper(*helper_login)
        return None

    def table(self, name: str) -> dict[str, Any]:
        """Return an object of the file, empty if it is missing."""
        table = self.content.get(name)
        return table if isinstance(table, dict) else {}

    def helper_for(self, key: str) -> str:
        """Return the name of the credential helper for ``key``, "" for none."""
        own_helper = _normalize_keys(self.table("credHelpers")).get(key)
        name = own_helper or self.content.get("credsStore")
        return name if isinstance(name, str) else ""


def helper_key(host: str) -> str:
    """Return the key that docker's helpers use for a host."""
    return f"https://index.{DOCKER_HUB}/v1/" if host == DOCKER_HUB else host


def _candidate_keys(repository: Repository) -> Iterator[str]:
    """Yield the keys that match a repository, the longest first."""
    parts = repository.name.split("/") if repository.name else []
    for count in range(len(parts), -1, -1):
        yield "/".join([repository.host, *parts[:count]])


def normalize_key(key: str) -> str:
    """Return the key of an entry as ``HOST[/PATH]``: old files have URLs."""
    _, scheme, without_scheme = key.rpartition("://")
    text = (without_scheme if scheme else key).rstrip("/")
    text = text.removesuffix("/v1").removesuffix("/v2")
    host, slash, path = text.partition("/")
    try:
        return normalize_host(host) + slash + path
    except PumiceError:
        return text


def _normalize_keys(table: dict[str, Any]) -> dict[str, Any]:
    """Return a table with normalized keys; an entry whose key is normalized already takes precedence."""
    normalized: dict[str, Any] = {}
    for key, value in table.items():
        name = normalize_key(key)
        if key == name or name not in normalized:
            normalized[name] = value
    return normalized


def _original_key(table: dict[str, Any], key: str) -> str:
    return key if key in table else next(name for name in table if normalize_key(name) == key)


def _login_from_helper(user: str, secret: str) -> Login:
    return Login(identity_token=secret) if user == "<token>" else Login(user, secret)


def _decode_base64(text: str) -> bytes:
    """Decode base64 with line breaks or without padding: users paste it."""
    digits = "".join(text.split()).rstrip("=")
    return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)


def _parse_entry(entry: object, where: str) -> Login | None:
    """Return the login in an entry of ``auths``, None if it is empty (docker writes those for helpers)."""
    if not isinstance(entry, dict):
        return None
    values = {name: value for name, value in entry.items() if isinstance(value, str) and value}
    user, password = values.get("username", ""), values.get("password", "")
    if "auth" in values:
        try:
            text = _decode_base64(values["auth"]).decode()
        except (binascii.Error, ValueError):
            raise FormatError("the authentication file has a malformed login", where=where) from None
        user, _, password = text.rstrip("\0").partition(":")
    login = Login(user, password, values.get("identitytoken", ""), values.get("registrytoken", ""))
    return login if login.password or login.identity_token or login.registry_token else None
