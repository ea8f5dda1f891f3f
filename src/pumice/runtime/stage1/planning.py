"""How a container is started: as its stage 1 plans it, in the control groups that its limits need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.runtime.isolation import control_groups
from pumice.runtime.stage1 import external

if TYPE_CHECKING:
    from pumice.runtime.container import Container
    from pumice.runtime.launch.model import Launch
    from pumice.runtime.stage1 import Stage1


def plan_launch(container: Container, runner: Stage1) -> Launch:
    """Return how to start a container; raises SandboxError if that is impossible here."""
    launch = runner.plan(container)
    limits = (container.isolation.limits, container.isolation.pod_limits)
    launch.groups = control_groups.plan_groups(*limits)
    launch.needs_groups = control_groups.are_required(*limits)
    external.check_arguments((*launch.options, *launch.program))
    return launch
