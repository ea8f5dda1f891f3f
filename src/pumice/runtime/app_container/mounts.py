"""The checks that App Container asks for on the volumes of a pod (ace.md, "Volume Setup")."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import UsageError
from pumice.runtime import tree_lookup
from pumice.runtime.container import Mount
from pumice.runtime.isolation.isolators import Complaint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pumice.appc.app import App
    from pumice.progress import Progress
    from pumice.runtime.run_options import AppOptions, Volume


def restrict_mounts(options: AppOptions, app: App) -> AppOptions:
    """Return the options with volumes read-only where the mount point of the app is read-only."""
    read_only = {point.path for point in app.mount_points if point.read_only}
    return msgspec.structs.replace(
        options,
        mounts=tuple(
            msgspec.structs.replace(mount, read_only=mount.read_only or mount.target in read_only)
            for mount in options.mounts
        ),
        volumes=tuple(
            msgspec.structs.replace(mount, read_only=mount.read_only or mount.target in read_only)
            for mount in options.volumes
        ),
    )


def find_owner_complaints(options: AppOptions, volumes: Iterable[Volume]) -> Iterator[Complaint]:
    """Yield a complaint for each empty volume of an app whose owner cannot be set by this user."""
    mounted = {mount.volume for mount in options.volumes}
    for volume in volumes if os.geteuid() != 0 else ():
        if volume.name in mounted and (volume.uid or volume.gid):
            reason = "only root can choose it, so it is the user of the program"
            yield Complaint(f"the owner of the volume {volume.name!r}", "modified", reason)


def check_mounts(options: AppOptions, root: Path, progress: Progress) -> None:
    """Raise UsageError for missing or linked sources and for overlapping targets; warn of hidden files."""
    paths = [mount.target for mount in options.mounts] + [mount.target for mount in options.volumes]
    targets = sorted(f"{_normalize(path)}/" for path in paths)
    for outer, inner in pairwise(targets):
        if inner.startswith(outer):
            raise UsageError(
                f"the volumes at {outer[:-1][:100]!r} and {inner[:-1][:100]!r} overlap",
                where=f"app {options.name!r}",
            )
    for mount in options.mounts:
        if mount.source:
            _check_source(mount.source, options.name)
    for target in targets:
        path = tree_lookup.resolve(root, target)
        if path is not None and (not path.is_dir() or any(path.iterdir())):
            progress.warn(f"the volume at {target[:-1]} of the app {options.name} hides files of its image")


def _normalize(path: str) -> str:
    return "".join(f"/{part}" for part in path.split("/") if part not in ("", "."))


def _check_source(source: str, name: str) -> None:
    if not os.path.lexists(source):
        raise UsageError(f"the source {source[:200]!r} of a volume does not exist", where=f"app {name!r}")
    real = os.path.realpath(source)
    if real != source.rstrip("/"):
        raise UsageError(
            f"the source {source[:200]!r} of a volume is or has a symbolic link",
            where=f"app {name!r}",
            hint=f"write {real}",
        )


def mount_missing_points(app: App, mounts: Sequence[Mount], root: Path) -> tuple[Mount, ...]:
    """Return an empty volume for each mount point that has none and does not exist in the image."""
    mounted = {mount.target for mount in mounts}
    return tuple(
        Mount("", point.path, point.read_only)
        for point in app.mount_points
        if point.path not in mounted and tree_lookup.resolve(root, point.path) is None
    )
