"""Saves and deletes logins in the files that `pumice.registry.credentials` reads."""

from __future__ import annotations

import base64
import os
from contextlib import contextmanager
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
    from collections.abc import Iterator, Mapping

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
    encoded = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
    with _change(file.path) as current:
        written_key = _entry_key(current, target)
        auths = {
            entry_key: entry
            for entry_key, entry in current.table("auths").items()
            if normalize_key(entry_key) != key or entry_key == written_key
        }
        # Replace the whole entry: its other fields (such as a token) belong to the old login.
        auths[written_key] = {"auth": encoded}
        _write(file.path, {**current.content, "auths": auths})
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
        if _has_entry(file, key):
            with _change(path) as current:
                _write(path, {**current.content, "auths": _without_entry(current, key)})
            removed_from.append(str(path))
    return removed_from


def _has_entry(file: AuthFile, key: str) -> bool:
    return any(normalize_key(entry_key) == key for entry_key in file.table("auths"))


def _without_entry(file: AuthFile, key: str) -> dict[str, Any]:
    auths = file.table("auths")
    return {entry_key: entry for entry_key, entry in auths.items() if normalize_key(entry_key) != key}


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
        if _has_entry(file, key) or file.helper_for(key):
            return file
    return next((file for file in auth_files if file.content), auth_files[0])


@contextmanager
def _change(path: Path) -> Iterator[AuthFile]:
    """Give what a file has now, while no other command of Pumice changes a file in its directory.

    It locks the directory, because a lock file would remain among the files of other tools.
    """
    with translate_os_errors(path):
        directory = Path(ownership.resolve_links(path)).parent
        ownership.make_directories(directory, private=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with translate_os_errors(path):
            files.lock_open(descriptor)
        yield read_auth_file(path)
    finally:
        os.close(descriptor)


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a file that only its owner can read; a symbolic link is followed, not replaced."""
    with translate_os_errors(path):
        target = ownership.resolve_links(path)
    data = msgspec.json.format(msgspec.json.encode(content), indent=2)
    files.replace(target, data + b"\n", mode=0o600)
