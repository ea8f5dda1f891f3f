"""Directories and symbolic links on a machine with other users: what may be created, followed and used.

Directories are never created writable for others, whatever the umask. A link that another user may have
planted is followed only where the kernel's ``protected_symlinks`` would follow it: the kernel cannot check
paths that are resolved before they are opened. And root does not use directories of other users.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from pumice.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

SHARED_MODE = 0o755
PRIVATE_MODE = 0o700
_MAX_LINKS = 40
_ANY_DIRECTORY = "*"


def make_directory(path: str | os.PathLike[str], *, private: bool = False) -> None:
    """Create one directory with mode 0755, or 0700 if ``private``, less the umask; raises OSError."""
    os.mkdir(path, PRIVATE_MODE if private else SHARED_MODE)


def make_directories(path: str | os.PathLike[str], *, private: bool = False) -> None:
    """Create a directory and its missing parents; raises OSError.

    All new directories get the same mode, as in `make_directory`.
    """
    path = os.fspath(path)
    parent = os.path.dirname(path)
    if parent and not os.path.isdir(parent):
        make_directories(parent, private=private)
    try:
        make_directory(path, private=private)
    except FileExistsError:
        if not os.path.isdir(path):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None


def resolve_links(path: str | os.PathLike[str], *, user: int | None = None) -> str:
    """Return ``path`` absolute and without symbolic links; missing components at its end are kept.

    Raises PermissionError for a link in a sticky directory that everyone can write to, such as ``/tmp``, if
    the link belongs neither to ``user`` (default: the effective user) nor to the directory's owner.
    """
    user = os.geteuid() if user is None else user
    pending_components = _split_reversed(os.path.join(os.getcwd(), os.fspath(path)))
    resolved = "/"
    link_count = 0
    while pending_components:
        name = pending_components.pop()
        if name == "..":
            resolved = os.path.dirname(resolved)
            continue
        next_path = os.path.join(resolved, name)
        try:
            status = os.lstat(next_path)
        except (FileNotFoundError, NotADirectoryError):
            resolved = next_path
            continue
        if not stat.S_ISLNK(status.st_mode):
            resolved = next_path
            continue
        link_count += 1
        if link_count > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
        if is_planted(status, os.stat(resolved), user):
            raise PermissionError(errno.EACCES, f"{next_path} is a link of another user", os.fspath(path))
        target = os.readlink(next_path)
        if target.startswith("/"):
            resolved = "/"
        pending_components += _split_reversed(target)
    return resolved


def is_planted(entry: os.stat_result, folder: os.stat_result, user: int) -> bool:
    """Return whether another user may have planted an entry of a directory (proc(5), protected_symlinks)."""
    sticky_and_writable = stat.S_ISVTX | stat.S_IWOTH
    return folder.st_mode & sticky_and_writable == sticky_and_writable and entry.st_uid not in (
        user,
        folder.st_uid,
    )


def check_owner(path: str | os.PathLike[str], trusted: Iterable[str], *, user: int | None = None) -> None:
    """Raise StoreError if root is about to use a directory of another user.

    That user could change what root reads and, by symbolic links, make root write elsewhere. ``trusted``
    lists directories to use nevertheless; ``*`` is every directory. ``user`` defaults to the effective user.
    """
    if (os.geteuid() if user is None else user) != 0:
        return
    try:
        path = os.path.abspath(path)
        owners = {os.lstat(path).st_uid, os.stat(path).st_uid} - {0}
    except (OSError, ValueError):
        return  # it is created now, or using it fails with a better reason
    if not owners or any(
        trusted_path == _ANY_DIRECTORY or os.path.abspath(trusted_path) == path for trusted_path in trusted
    ):
        return
    raise StoreError(
        f"cannot use the directory as root: it belongs to user {min(owners)}",
        where=path,
        hint=f"run as that user, set PUMICE_HOME, or trust the user: PUMICE_SAFE_DIRECTORIES={path}",
    )


def _split_reversed(path: str) -> list[str]:
    """Return the components of a path, last one first."""
    return [component for component in reversed(path.split("/")) if component not in ("", ".")]
