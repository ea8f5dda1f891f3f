"""Saves and deletes logins in the files that `pumice.registry.credentials` reads."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pumice import files, ownership
from pumice.errors import UsageError
from pumice.os_errors import translate_os_errors
from pumice.registry import credential_helpers
from pumice.registry.credentials import AuthFile, auth_file_paths, helper_key, normalize_key, read_auth_file
from pumice.registry.reference import DOCKER_HUB, Repository, normalize_host, parse_repository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.registry.credentials import Login


def parse_login_target(text: str) -> Repository:
    """Parse ``HOST[/PATH]``; the name is empty for a whole registry. Raises UsageError."""
    host, slash, path = text.partition("/")
    if not slash or not path:
        return Repository(normalize_host(host), "")
    normalize_host(host)
    return Repository(normalize_host(host), _name(path, text))


def _name(path: str, text: str) -> str:
    try:
        return parse_repository(f"localhost/{path}").name
    except UsageError:
        raise UsageError(
            f"{text[:100]!r} is not a registry or a prefix of its repositories",
            hint="expected HOST or HOST/PATH",
        ) from None


def save_login(target: Repository, login: Login, environ: Mapping[str, str]) -> str:
    """Save a login; return the path of the file, or the name of the helper. Raises PumiceError."""
    file = _file_for(target, environ)
    key = _key(target)
    helper = file.helper_for(key)
    if helper:
        credential_helpers.store(
            helper, helper_key(target.host) if not target.name else key, login.username, login.password
        )
        return f"docker-credential-{helper}"
    auths = dict(file.table("auths"))
    encoded = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
    # Replace the whole entry: its other fields (such as a token) belong to the old login.
    for same_key in [
        entry_key
        for entry_key in auths
        if normalize_key(entry_key) == key and entry_key != _entry_key(file, target)
    ]:
        del auths[same_key]
    auths[_entry_key(file, target)] = {"auth": encoded}
    _write(file.path, {**file.content, "auths": auths})
    return str(file.path)


def delete_login(target: Repository, environ: Mapping[str, str]) -> list[str]:
    """Delete a login; return the files and helpers that had it. Raises PumiceError."""
    removed_from = []
    key = _key(target)
    for path in auth_file_paths(environ):
        file = read_auth_file(path)
        helper = file.helper_for(key)
        if helper and credential_helpers.erase(helper, helper_key(target.host) if not target.name else key):
            removed_from.append(f"docker-credential-{helper}")
        auths = file.table("auths")
        remaining = {
            entry_key: entry for entry_key, entry in auths.items() if normalize_key(entry_key) != key
        }
        if len(remaining) < len(auths):
            _write(path, {**file.content, "auths": remaining})
            removed_from.append(str(path))
    return removed_from


def _key(target: Repository) -> str:
    return f"{target.host}/{target.name}" if target.name else target.host


def _entry_key(file: AuthFile, target: Repository) -> str:
    """Return the key to write: docker's own file uses an old URL for Docker Hub."""
    if target.host == DOCKER_HUB and not target.name and file.path.name == "config.json":
        return helper_key(DOCKER_HUB)
    return _key(target)


def _file_for(target: Repository, environ: Mapping[str, str]) -> AuthFile:
    """Return the file that has an entry for the target, else the first that exists, else the first."""
    paths = auth_file_paths(environ)
    if not paths:
        raise UsageError("cannot save the login: no home directory", hint="set REGISTRY_AUTH_FILE")
    auth_files = [read_auth_file(path) for path in paths]
    key = _key(target)
    for file in auth_files:
        if any(normalize_key(name) == key for name in file.table("auths")) or file.helper_for(key):
            return file
    return next((file for file in auth_files if file.content), auth_files[0])


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a file that only its owner can read; a symbolic link is followed, not replaced."""
    with translate_os_errors(path):
        target = ownership.resolve_links(path)
        ownership.make_directories(Path(target).parent, private=True)
    data = msgspec.json.format(msgspec.json.encode(content), indent=2)
    files.replace(target, data + b"\n", mode=0o600)
