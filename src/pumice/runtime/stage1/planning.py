"""How a container is started: as its stage 1 plans it, in the control groups that its limits need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.runtime.isolation import control_groups
from pumice.runtime.stage1 import external

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.runtime.container import Container
    from pumice.runtime.launch.model import Launch
    from pumice.runtime.stage1 import Stage1


def plan_launch(container: Container, runner: Stage1) -> Launch:
    """Return how to start a container; raises SandboxError if that is impossible here."""
    return _add_groups(container, runner.plan(container))


def plan_machine(containers: Mapping[str, Container]) -> tuple[Launch, dict[str, Launch]]:
    """Return how to start the virtual machine of a pod of several apps, and each app; raises as above."""
    from pumice.runtime.stage1.kvm import Kvm

    machine, apps = Kvm().plan_pod([*containers.values()])
    launches = [_add_groups(*pair) for pair in zip(containers.values(), apps, strict=True)]
    # The limits of the pod are also those of the machine; what is left of an app's own are the default ones.
    machine.groups, machine.needs_groups = launches[0].groups, launches[0].needs_groups
    return machine, dict(zip(containers, launches, strict=True))


def _add_groups(container: Container, launch: Launch) -> Launch:
    limits = (container.isolation.limits, container.isolation.pod_limits)
    launch.groups = control_groups.plan_groups(*limits)
    launch.needs_groups = control_groups.are_required(*limits)
    external.check_arguments((*launch.options, *launch.program))
    return launch
