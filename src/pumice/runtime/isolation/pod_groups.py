"""The control groups of a pod of several apps: one for the pod, and in it one for each app."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from pumice.runtime.isolation.control_groups import (
    ControlGroup,
    create_or_explain,
    enable_controllers,
    needed_controllers,
    open_members_of,
    plan_groups,
    set_limits,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pumice.runtime.container import Container
    from pumice.runtime.isolation.model import Limits


class LimitedApp(msgspec.Struct, frozen=True):
    """The container of an app of a pod, with descriptors of its control groups, and their directories."""

    container: Container
    directories: tuple[Path, ...]


@contextmanager
def limited_pod(
    containers: Mapping[str, Container],
) -> Iterator[tuple[dict[str, LimitedApp], ControlGroup]]:
    """Create the control groups of a pod, and in them those of its apps, by their names; see `limited`."""
    group = ControlGroup()
    limits = {name: container.isolation.limits for name, container in containers.items()}
    try:
        directories: dict[str, list[Path]] = {name: [] for name in containers}
        create_or_explain(group, list(limits.values()), lambda: _create_pod(group, limits, directories))
        yield (
            {
                name: LimitedApp(
                    msgspec.structs.replace(container, cgroups=open_members_of(directories[name])),
                    tuple(directories[name]),
                )
                for name, container in containers.items()
            },
            group,
        )
    finally:
        group.close()


def _create_pod(
    group: ControlGroup, limits: Mapping[str, Limits], directories: Mapping[str, list[Path]]
) -> None:
    """Create a group for the pod, and in it one for each app, which is added to its ``directories``."""
    needed = list(dict.fromkeys(name for limit in limits.values() for name in needed_controllers(limit)))
    for hierarchy, controllers, parent in plan_groups(needed):
        group.add(parent)
        if hierarchy.version == 2:
            enable_controllers(hierarchy, parent, controllers)
        for name, limit in limits.items():
            directory = parent / name
            directory.mkdir(mode=0o755)
            directories[name].append(directory)
            own = [controller for controller in controllers if controller in needed_controllers(limit)]
            set_limits(directory, limit, hierarchy.version, own)
