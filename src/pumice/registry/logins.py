"""Keeping and forgetting logins, in the files that `pumice.registry.credentials` reads."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pumice import files, ownership
from pumice.errors import UsageError
from pumice.os_errors import translate_os_errors
from pumice.registry import keychain
from pumice.registry.credentials import AuthFile, helper_key, locations, normal, read
from pumice.registry.reference import HUB, Repository, check_host, parse_repository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.registry.credentials import Login


def place(text: str) -> Repository:
    """Read ``HOST[/PATH]``; the name is empty for a whole registry. Raises UsageError."""
    host, slash, path = text.partition("/")
    if not slash or not path:
        return Repository(check_host(host), "")
    check_host(host)
    return Repository(check_host(host), _name(path, text))


def _name(path: str, text: str) -> str:
    try:
        return parse_repository(f"localhost/{path}").name
    except UsageError:
        raise UsageError(
            f"{text[:100]!r} is neither a registry nor the beginning of its repositories",
            hint="expected HOST or HOST/PATH",
        ) from None


def keep(where: Repository, login: Login, environ: Mapping[str, str]) -> str:
    """Keep a login; return the name of the file or helper that has it. Raises PumiceError."""
    file = _file_for(where, environ)
    key = _key(where)
    name = file.helper_for(key)
    if name:
        keychain.store(name, helper_key(where.host) if not where.name else key, login.user, login.password)
        return f"docker-credential-{name}"
    auths = dict(file.table("auths"))
    plain = base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
    # What else the entry says (an old token, an address) was of the old login.
    for known in [known for known in auths if normal(known) == key and known != _written(file, where)]:
        del auths[known]
    auths[_written(file, where)] = {"auth": plain}
    _write(file.path, {**file.content, "auths": auths})
    return str(file.path)


def forget(where: Repository, environ: Mapping[str, str]) -> list[str]:
    """Forget a login; return where it was. Raises PumiceError."""
    gone = []
    key = _key(where)
    for path in locations(environ):
        file = read(path)
        name = file.helper_for(key)
        if name and keychain.erase(name, helper_key(where.host) if not where.name else key):
            gone.append(f"docker-credential-{name}")
        auths = file.table("auths")
        left = {known: entry for known, entry in auths.items() if normal(known) != key}
        if len(left) < len(auths):
            _write(path, {**file.content, "auths": left})
            gone.append(str(path))
    return gone


def _key(where: Repository) -> str:
    return f"{where.host}/{where.name}" if where.name else where.host


def _written(file: AuthFile, where: Repository) -> str:
    """Docker's own file has Docker Hub under an address of old."""
    if where.host == HUB and not where.name and file.path.name == "config.json":
        return helper_key(HUB)
    return _key(where)


def _file_for(where: Repository, environ: Mapping[str, str]) -> AuthFile:
    """The file that knows the place already, else the first that is there, else the first."""
    known = locations(environ)
    if not known:
        raise UsageError("there is no home directory to keep the login in", hint="set REGISTRY_AUTH_FILE")
    found = [read(path) for path in known]
    key = _key(where)
    for file in found:
        if any(normal(name) == key for name in file.table("auths")) or file.helper_for(key):
            return file
    return next((file for file in found if file.content), found[0])


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a file that only its owner can read; one that is a link stays one."""
    with translate_os_errors(path):
        target = ownership.resolve_links(path)
        ownership.make_directories(Path(target).parent, private=True)
    data = msgspec.json.format(msgspec.json.encode(content), indent=2)
    files.replace(target, data + b"\n", mode=0o600)
