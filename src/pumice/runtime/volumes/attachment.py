"""Mounting named volumes in a container, and preparing them when they are mounted for the first time."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.os_errors import translate_os_errors
from pumice.runtime import tree_lookup
from pumice.runtime.image_mounts import check_other_image
from pumice.runtime.volume_owners import find_owner, give_volumes
from pumice.runtime.volumes import volume_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.runtime.container import Container, Mount
    from pumice.runtime.volumes.volume_store import Volume
    from pumice.store.home import Home

_FIRST_USE = "volume-setup"


def lock_volumes(mounts: Sequence[Mount], home: Home) -> tuple[Mount, ...]:
    """Return the mounts with the directories of the volumes that they name, which are created if needed.

    Each has a lock then, which protects its volume as long as a process has it. Raises UsageError for an
    invalid name, and StoreError.
    """
    return tuple(_lock(mount, home) if mount.volume else mount for mount in mounts)


def _lock(mount: Mount, home: Home) -> Mount:
    volume, lock = volume_store.lock_volume(home, mount.volume)
    return msgspec.structs.replace(mount, source=str(volume.data), lock=lock)


def prepare_mounts(container: Container, stage1: str, home: Home) -> None:
    """Fill new volumes, and make the program the owner of its own ones.

    Raises StoreError, and UsageError for an image that cannot be mounted.
    """
    check_other_image(container.mounts, container.root)
    _prepare_volumes(container, stage1, home)
    give_volumes(container, stage1)


def _prepare_volumes(container: Container, stage1: str, home: Home) -> None:
    """Fill the volumes that were never mounted before, so that the program finds what it needs.

    As with podman, they get what the image has at their mount points. They belong to the owner of the
    directory in the image, or to the user of the program if that is root or does not exist. Raises
    StoreError.
    """
    for mount in container.mounts:
        if mount.volume:
            volume = volume_store.find_volume(home, mount.volume)
            if (volume.directory / volume_store.UNUSED).exists():
                with home.lock(_FIRST_USE), translate_os_errors(volume.data):
                    _prepare(volume, mount, container, find_owner(container, stage1))


def _prepare(volume: Volume, mount: Mount, container: Container, owner: tuple[int, int] | None) -> None:
    marker = volume.directory / volume_store.UNUSED
    if not marker.exists():
        return
    source = tree_lookup.resolve(Path(container.root), mount.target)
    if mount.copies and source is not None and source.is_dir() and not any(volume.data.iterdir()):
        _copy_tree(source, volume.data, set_owners=owner is not None)
        status = source.stat()
        owner = (status.st_uid, status.st_gid) if status.st_uid and owner else owner
    if owner is not None:
        os.chown(volume.data, *owner)
    elif container.process.uid:
        # Another id of this user may be the program's. The directory above is closed to everybody else.
        volume.data.chmod(0o777)
    with suppress(FileNotFoundError):
        marker.unlink()


def _copy_tree(source: Path, target: Path, *, set_owners: bool) -> None:
    """Copy the files of an image into an empty directory."""
    for path in source.iterdir():
        copy = target / path.name
        if path.is_symlink():
            copy.symlink_to(path.readlink())
            _copy_attributes(path, copy, set_owners=set_owners)
        elif path.is_dir():
            copy.mkdir(0o700)
            _copy_tree(path, copy, set_owners=set_owners)
        elif path.is_file():
            shutil.copyfile(path, copy, follow_symlinks=False)
            _copy_attributes(path, copy, set_owners=set_owners)
    _copy_attributes(source, target, set_owners=set_owners)


def _copy_attributes(source: Path, target: Path, *, set_owners: bool) -> None:
    if set_owners:
        status = source.lstat()
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    shutil.copystat(source, target, follow_symlinks=False)
