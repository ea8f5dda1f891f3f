"""The working directory and the volumes: whether they exist, and whether the user can write to volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.checks.accounts import process_user
from pumice.checks.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.checks.model import CheckedImage


def check_directories(image: CheckedImage) -> Iterator[Finding]:
    """Yield a finding for each such directory that is missing, not a directory, or not writable."""
    user = process_user(image)
    directory = image.run.directory
    if directory not in ("", "/"):
        finding = _check_exists(image, "run.directory", directory)
        entry = image.entry(directory)
        if finding:
            yield finding
        elif user is not None and entry is not None and not user.can_execute(entry):
            yield Finding(
                check="directory",
                message=f"the user {user.name!r} may not enter the working directory {directory} (owner"
                f" {entry.uid}, mode {entry.mode & 0o7777:04o})",
                hint="set its 'mode' or 'owner' under 'files' or 'permissions'",
                key="run.directory",
                path=directory,
            )
    for path in image.run.volumes:
        finding = _check_exists(image, "run.volumes", path)
        entry = image.entry(path)
        if finding:
            yield finding
        elif user is not None and entry is not None and not user.can_write(entry):
            yield Finding(
                check="volume",
                message=f"the user {user.name!r} cannot write to the volume {path} (owner {entry.uid}, mode"
                f" {entry.mode & 0o7777:04o})",
                hint=f"add '{{directory: true, to: {path}, owner: {user.name}}}' under 'files'",
                key="run.volumes",
                path=path,
            )


def _check_exists(image: CheckedImage, key: str, path: str) -> Finding | None:
    if image.tree.is_directory(path):
        return None
    if image.entry(path) is not None:
        return Finding(check="directory", message=f"{path} is not a directory", key=key, path=path)
    return Finding(
        check="directory",
        message=f"the directory {path} does not exist, so engines create it as root",
        hint=f"add '{{directory: true, to: {path}}}' under 'files', with its owner",
        key=key,
        path=path,
    )
