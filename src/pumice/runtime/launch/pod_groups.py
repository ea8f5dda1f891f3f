"""The control groups of a pod of several apps: one for the pod, and in it one for each app."""

from __future__ import annotations

import os

from pumice.runtime.launch.control_groups import (
    ControlGroup,
    enable_controllers,
    explain_error,
    remove_abandoned,
    write_setting,
)
from pumice.runtime.launch.model import GroupPlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.runtime.launch.model import Launch


def create_pod_groups(launches: Mapping[str, Launch]) -> tuple[ControlGroup, dict[str, list[str]]]:
    """Create the groups of a pod; return them, and the directories of those of each app.

    Where that fails and no app has limits of its own, there are none. Raises SandboxError.
    """
    group = ControlGroup()
    directories: dict[str, list[str]] = {name: [] for name in launches}
    try:
        _create(group, launches, directories)
    except OSError as error:
        group.close()
        if any(launch.needs_groups for launch in launches.values()):
            raise explain_error(error) from None
        return group, {name: [] for name in launches}
    return group, directories


def _create(group: ControlGroup, launches: Mapping[str, Launch], directories: dict[str, list[str]]) -> None:
    plans = [plan for launch in launches.values() for plan in launch.groups]
    for parent in dict.fromkeys(plan.parent for plan in plans):
        siblings = [plan for plan in plans if plan.parent == parent]
        version, top = siblings[0].version, siblings[0].top
        controllers = list(dict.fromkeys(name for plan in siblings for name in plan.controllers))
        remove_abandoned(parent)
        pod = f"{parent}/{os.getpid()}-{os.urandom(8).hex()}"
        if version == 2:
            enable_controllers(GroupPlan(version, parent, top, controllers, ()))
        group.add(pod)
        if version == 2:
            enable_controllers(GroupPlan(version, pod, top, controllers, ()))
        for file, value in dict.fromkeys(setting for plan in siblings for setting in plan.pod_settings):
            write_setting(f"{pod}/{file}", value)
        for name, launch in launches.items():
            directory = f"{pod}/{name}"
            os.mkdir(directory, 0o755)
            directories[name].append(directory)
            for plan in launch.groups:
                for file, value in plan.settings if plan.parent == parent else ():
                    write_setting(f"{directory}/{file}", value)
