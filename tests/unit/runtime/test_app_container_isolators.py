"""What isolators of App Container mean for a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice.appc.isolators import CPU, MEMORY, Isolator
from pumice.runtime.app_container.isolators import Outcome, apply_isolators, bound_by_pod
from pumice.runtime.isolation.model import MIN_CPUS, MIN_MEMORY, Isolation, Limits

LEAST = Limits(cpus=MIN_CPUS, memory=MIN_MEMORY)


@pytest.mark.parametrize("cpu", ["1n", "9m"])
@pytest.mark.parametrize("memory", ["1", "6291455"])
def test_limits_below_the_least_that_is_possible_are_the_least_and_are_named(
    cpu: str, memory: str, tmp_path: Path
) -> None:
    limits = (Isolator(CPU, {"limit": cpu}), Isolator(MEMORY, {"limit": memory}))
    plan = apply_isolators(limits, Isolation(), tmp_path, from_image=True)
    assert plan.isolation.limits == LEAST
    outcomes = (
        Outcome(CPU, "modified", "the limit is 10m, the least that is possible"),
        Outcome(MEMORY, "modified", "the limit is 6Mi, the least that is possible"),
    )
    assert plan.outcomes == outcomes
    in_pod = bound_by_pod(apply_isolators((), Isolation(), tmp_path, from_image=True), limits, tmp_path)
    assert (in_pod.isolation.pod_limits.cpus, in_pod.isolation.pod_limits.memory) == (MIN_CPUS, MIN_MEMORY)
    assert in_pod.outcomes == outcomes


def test_the_least_limits_are_enforced(tmp_path: Path) -> None:
    limits = (Isolator(CPU, {"limit": "10m"}), Isolator(MEMORY, {"limit": "6Mi"}))
    plan = apply_isolators(limits, Isolation(), tmp_path, from_image=True)
    assert plan.isolation.limits == LEAST
    assert {outcome.effect for outcome in plan.outcomes} == {"enforced"}
