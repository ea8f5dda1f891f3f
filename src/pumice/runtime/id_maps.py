"""Which ids of this machine a container of an ordinary user may have (user_namespaces(7), subuid(5))."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from pumice.runtime.container import Maps

Extent = tuple[int, int, int]


def ranges() -> Maps | None:
    """Return oneself as root and one's subordinate ids as everybody else; None where that is not set up."""
    if not (_may_map("newuidmap") and _may_map("newgidmap")):
        return None
    names = _names(os.getuid())
    users, groups = _subordinate("/etc/subuid", names), _subordinate("/etc/subgid", names)
    if not users or not groups:
        return None
    return Maps(_extents(os.getuid(), users), _extents(os.getgid(), groups), helpers=True)


def _may_map(program: str) -> bool:
    """Whether the helper has the privilege that makes it one: set-uid, or a file capability."""
    path = shutil.which(program)
    if path is None:
        return False
    try:
        return bool(Path(path).stat().st_mode & stat.S_ISUID) or "security.capability" in os.listxattr(path)
    except OSError:
        return False


def _names(uid: int) -> tuple[str, ...]:
    import pwd

    try:
        return (pwd.getpwuid(uid).pw_name, str(uid))
    except KeyError:
        return (str(uid),)


def _subordinate(path: str, names: tuple[str, ...]) -> list[tuple[int, int]]:
    try:
        lines = Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        name, _, rest = line.strip().partition(":")
        start, _, count = rest.partition(":")
        if name in names and start.isdigit() and count.isdigit() and int(count):
            found.append((int(start), int(count)))
    return found


def _extents(own: int, subordinate: list[tuple[int, int]]) -> tuple[Extent, ...]:
    extents: list[Extent] = [(0, own, 1)]
    first = 1
    for start, count in subordinate:
        extents.append((first, start, count))
        first += count
    return tuple(extents)


def is_ordinary_user() -> bool:
    """Whether this process lacks the right to give files to others."""
    return os.geteuid() != 0


def can_own(found: Maps) -> bool:
    """Whether files can belong to others than oneself in a container with these maps."""
    return found.helpers or not is_ordinary_user()
