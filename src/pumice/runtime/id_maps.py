"""The id maps of containers (user_namespaces(7), subuid(5))."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import SandboxError
from pumice.formats.lines import split_lines
from pumice.runtime.container import IdMaps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.runtime.container import Container

_MAX_IDS = 65536
Extent = tuple[int, int, int]


def subordinate_maps() -> IdMaps | None:
    """Return maps of the user to root and of its subordinate ids to the other ids.

    Returns None if there are no subordinate ids or no privileged newuidmap and newgidmap.
    """
    if not (_is_privileged("newuidmap") and _is_privileged("newgidmap")):
        return None
    names = _names(os.getuid())
    users, groups = _read_subordinate_ids("/etc/subuid", names), _read_subordinate_ids("/etc/subgid", names)
    if not users or not groups:
        return None
    return IdMaps(_extents(os.getuid(), users), _extents(os.getgid(), groups), helpers=True)


def unprivileged_maps(uid: int, gid: int) -> IdMaps | None:
    """Return maps of all ids to subordinate ids of ``containers`` or root, which have no rights outside.

    Returns None if there are none, they do not include ``uid`` and ``gid``, or the kernel cannot shift the
    owners in an overlay (before Linux 5.19).
    """
    if not _is_kernel_at_least(5, 19):
        return None
    for name in ("containers", "root"):
        users, groups = (_read_subordinate_ids(f"/etc/sub{kind}", (name,)) for kind in ("uid", "gid"))
        if users and groups:
            (first_uid, uids), (first_gid, gids) = users[0], groups[0]
            maps = IdMaps(((0, first_uid, min(uids, _MAX_IDS)),), ((0, first_gid, min(gids, _MAX_IDS)),))
            if uid < maps.users[0][2] and gid < maps.groups[0][2]:
                return maps
    return None


def shared_maps(users: Sequence[tuple[int, int]], *, unprivileged: bool, needs_root: bool = False) -> IdMaps:
    """Return the maps of a user namespace for programs with these user and group ids; raises SandboxError.

    ``unprivileged`` asks root to map all to ids without rights outside, as `unprivileged_maps` does. With
    ``needs_root``, an engine must be root in it.
    """
    if not is_ordinary_user():
        largest = (max(uid for uid, _ in users), max(gid for _, gid in users))
        return (unprivileged_maps(*largest) if unprivileged else None) or IdMaps()
    if needs_root:
        users = [(0, 0), *users]
    if len(set(users)) == 1 and users[0] != (0, 0):
        return IdMaps(((users[0][0], os.geteuid(), 1),), ((users[0][1], os.getegid(), 1),))
    maps = subordinate_maps()
    if maps is None and len(set(users)) > 1:
        whom, advice = (
            ("as a user other than root", "--user 0")
            if needs_root
            else (
                "as different users",
                "the same --user",
            )
        )
        raise SandboxError(
            f"cannot run the apps of a pod {whom} without subordinate ids",
            hint=f"add yourself to /etc/subuid and /etc/subgid, or pass {advice} for each app",
        )
    return maps or single_id_maps()


def _is_kernel_at_least(major: int, minor: int) -> bool:
    numbers = os.uname().release.split(".")
    return all(number.isdigit() for number in numbers[:2]) and tuple(map(int, numbers[:2])) >= (major, minor)


def single_id_maps() -> IdMaps:
    """Return maps of this user and its group to root, and of no other id."""
    return IdMaps(((0, os.geteuid(), 1),), ((0, os.getegid(), 1),))


def _is_privileged(program: str) -> bool:
    """Return whether ``program`` is set-user-ID or has file capabilities."""
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


def _read_subordinate_ids(path: str, names: tuple[str, ...]) -> list[tuple[int, int]]:
    try:
        lines = split_lines(Path(path).read_text(errors="replace"))
    except OSError:
        return []
    ranges = []
    for line in lines:
        name, _, range_fields = line.strip().partition(":")
        start, _, count = range_fields.partition(":")
        if name in names and start.isdigit() and count.isdigit() and int(count):
            ranges.append((int(start), int(count)))
    return ranges


def _extents(own_id: int, subordinate: list[tuple[int, int]]) -> tuple[Extent, ...]:
    extents: list[Extent] = [(0, own_id, 1)]
    first = 1
    for start, count in subordinate:
        extents.append((first, start, count))
        first += count
    return tuple(extents)


def is_ordinary_user() -> bool:
    """Return whether this process cannot change the owners of files."""
    return os.geteuid() != 0


def can_set_owners(maps: IdMaps) -> bool:
    """Return whether files can have other owners in a container with these maps."""
    return maps.helpers or not is_ordinary_user()


def choose_maps(container: Container) -> IdMaps:
    """Return the maps of a container; without extents, it has the ids of the host or of one user.

    A program that is root inside may switch to other users; any other program of an ordinary user has one
    id only.
    """
    process = container.process
    if container.maps is not None:
        return container.maps
    if is_ordinary_user():
        needs_many_ids = (process.uid, process.gid) == (0, 0)
        return (subordinate_maps() if needs_many_ids else None) or IdMaps()
    if container.isolation.user_namespace == "auto":
        return unprivileged_maps(process.uid, process.gid) or IdMaps()
    return IdMaps()


def map_options(maps: IdMaps) -> Iterator[str]:
    """Yield the options of the sandbox for ``maps``."""
    for option, extents in (("--uid-map", maps.users), ("--gid-map", maps.groups)):
        for inside, outside, count in extents:
            yield from (option, f"{inside}:{outside}:{count}")
    if maps.helpers:
        yield "--map-helpers"
