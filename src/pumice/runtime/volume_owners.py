"""Give volumes to the user of a program, so that a server that is not root can write to them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.os_errors import translate_os_errors

if TYPE_CHECKING:
    from pumice.runtime.container import Container


def find_owner(container: Container, stage1: str) -> tuple[int, int] | None:
    """Return the user and the group that the program has in volumes, None if they are those of the caller.

    Ids inside are those outside in a volume, because its mount shifts them where the container's are others.
    With bwrap, and for an ordinary user, the program has the ids of the caller.
    """
    if os.geteuid() != 0 or stage1 == "bwrap":
        return None
    return container.process.uid, container.process.gid


def give_volumes(container: Container, stage1: str) -> None:
    """Change the owners of the volumes that are ``owned``; raises StoreError if that fails."""
    owner = find_owner(container, stage1)
    if owner is None:
        return
    uid, gid = owner
    for mount in container.mounts:
        if mount.owned and mount.source:
            with translate_os_errors(mount.source):
                _give(mount.source, uid, gid)


def _give(source: str, uid: int, gid: int) -> None:
    """Change the owner of a file, or of a directory and all below it, without following links."""
    os.chown(source, uid, gid, follow_symlinks=False)
    for _, directories, names, descriptor in os.fwalk(source, follow_symlinks=False):
        for name in (*directories, *names):
            os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)
