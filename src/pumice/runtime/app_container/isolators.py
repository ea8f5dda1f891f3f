"""What the isolators of App Container mean for a container (ace.md, "Isolators").

Those of an image may only restrict: an image cannot give itself capabilities, system calls or privileges
that an image without isolators lacks. Those of a pod manifest come from the user, and count as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from pumice import digest, files
from pumice.appc import isolators as appc
from pumice.appc.isolators import AppArmorProfile, Capabilities, Resource, SelinuxContext, Syscalls
from pumice.runtime.app_container.system_calls import plan_filter
from pumice.runtime.isolation.capabilities import NUMBERS
from pumice.runtime.isolation.model import MIN_CPUS, MIN_MEMORY, UNCONFINED, Isolation, Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pumice.appc.isolators import Isolator, Value

Effect = Literal["enforced", "modified", "ignored"]

_THOUSANDTHS = 1000
_LIMITS = {
    appc.CPU: ("cpus", _THOUSANDTHS),
    appc.MEMORY: ("memory", 1),
    appc.BLOCK_BANDWIDTH: ("block_bandwidth", 1),
    appc.BLOCK_OPERATIONS: ("block_operations", 1),
}
"""The field of `Limits` for a resource, and how many of its units the isolator's unit has."""
_LEAST = {"cpus": (MIN_CPUS, "10m"), "memory": (MIN_MEMORY, "6Mi")}
"""The least of a limit, which is that of the options too: the kernel refuses less, or nothing would start."""
_NOT_FOR_IMAGES = "MKNOD"  # without a user namespace, it makes nodes of the machine's disks


class Outcome(msgspec.Struct, frozen=True):
    """What became of an isolator, and why it is not enforced as it is."""

    isolator: str
    effect: Effect
    reason: str = ""


class IsolatorPlan(msgspec.Struct, frozen=True):
    """The isolation that isolators lead to, and what became of each."""

    isolation: Isolation
    outcomes: tuple[Outcome, ...] = ()


def apply_isolators(
    isolators: Iterable[Isolator], isolation: Isolation, directory: Path, *, from_image: bool
) -> IsolatorPlan:
    """Return an isolation with isolators applied; what the user chose on the command line wins over them.

    ``directory`` is where profiles of system calls are kept. Raises FormatError for an unusable isolator.
    """
    chosen = isolation
    outcomes = []
    for isolator in isolators:
        value = appc.read_value(isolator)
        changes, outcome = _translate(isolator, value, isolation, directory, from_image=from_image)
        if _is_chosen(chosen, changes):
            outcome = Outcome(isolator.name, "modified", "an option of the command line replaces it")
            changes = {}
        limits = changes.get("limits")
        if isinstance(limits, dict):
            changes["limits"] = _limit(isolation, chosen, limits)
        isolation = msgspec.structs.replace(isolation, **changes)
        outcomes.append(outcome)
    return IsolatorPlan(isolation, tuple(outcomes))


def bound_by_pod(plan: IsolatorPlan, isolators: Sequence[Isolator], directory: Path) -> IsolatorPlan:
    """Return the plan of an app within the isolators of its pod (ace.md, "Isolators")."""
    if not isolators:
        return plan
    pod = apply_isolators(isolators, Isolation(), directory, from_image=False)
    own, bound = plan.isolation, pod.isolation
    # The kernel refuses a larger share of the processors than that of the group above.
    limits = msgspec.structs.replace(
        own.limits,
        cpus=_bound(own.limits.cpus, bound.limits.cpus),
        memory=_bound(own.limits.memory, bound.limits.memory),
    )
    isolation = msgspec.structs.replace(
        own,
        limits=limits,
        pod_limits=msgspec.structs.replace(bound.limits, pids=0),
        pod_network_bandwidth=bound.network_bandwidth,
        selinux=own.selinux or bound.selinux,
        apparmor=own.apparmor or bound.apparmor,
        sysctls=(*bound.sysctls, *own.sysctls),
    )
    return IsolatorPlan(isolation, (*pod.outcomes, *plan.outcomes))


def _bound(limit: int, bound: int) -> int:
    """Return a limit of an app within that of its pod; 0 is none."""
    return min(limit, bound) if bound else limit


def _is_chosen(chosen: Isolation, changes: dict[str, object]) -> bool:
    """Return whether the user chose one of the fields; limits are compared one by one, in `_limit`."""
    default = Isolation()
    for name in changes.keys() - {"limits"}:
        value, usual = getattr(chosen, name), getattr(default, name)
        # Capabilities that options name are in the order of the kernel.
        if set(value) != set(usual) if isinstance(value, tuple) else value != usual:
            return True
    return False


def _limit(isolation: Isolation, chosen: Isolation, limits: dict[str, int]) -> Limits:
    """Return limits with others, unless the user chose them."""
    others = {name: value for name, value in limits.items() if not getattr(chosen.limits, name)}
    return msgspec.structs.replace(isolation.limits, **others)


def _translate(
    isolator: Isolator, value: Value | None, isolation: Isolation, directory: Path, *, from_image: bool
) -> tuple[dict[str, object], Outcome]:
    """Return the changed fields of an isolation, and what became of the isolator."""
    match value:
        case Resource():
            return _translate_resource(isolator, value)
        case Capabilities():
            return _translate_capabilities(isolator.name, value, from_image=from_image)
        case Syscalls():
            return _translate_syscalls(isolator.name, value, directory, from_image=from_image)
    if from_image and (refusal := _refuse(isolator.name, value)):
        return {}, refusal
    changes = _translate_setting(isolator.name, value, isolation)
    if changes:
        return changes, Outcome(isolator.name, "enforced")
    return {}, Outcome(isolator.name, "ignored", "Pumice does not know it")


def _refuse(name: str, value: Value | None) -> Outcome | None:
    """Return why an image cannot have an isolator that loosens its isolation, None if it does not."""
    if name == appc.NO_NEW_PRIVILEGES and not value:
        return Outcome(name, "modified", "set-id programs have no effect")
    if name == appc.SYSCTL:
        return Outcome(name, "ignored", "only a pod can have it")
    if name == appc.OOM_SCORE and isinstance(value, int) and value < 0:
        return Outcome(name, "ignored", "an image cannot protect itself from the OOM killer")
    return None


def _translate_setting(name: str, value: Value | None, isolation: Isolation) -> dict[str, object]:
    match value:
        case bool():
            return {"no_new_privileges": value}
        case int() if name == appc.OOM_SCORE:
            return {"oom_score": value}
        case int():
            return {"limits": {"cpu_shares": value}}
        case SelinuxContext():
            return {"selinux": f"{value.user}:{value.role}:{value.type}:{value.level}"}
        case AppArmorProfile():
            return {"apparmor": value.profile}
        case dict():
            return {"sysctls": (*isolation.sysctls, *value.items())}
    return {}


def _translate_resource(isolator: Isolator, value: Resource) -> tuple[dict[str, object], Outcome]:
    name = isolator.name
    reserves = isolator.value.get("request") is not None
    if value.limit is None or value.limit <= 0:
        return {}, Outcome(name, "ignored", "it has no limit, and Pumice reserves nothing")
    if name == appc.NETWORK_BANDWIDTH:
        return {"network_bandwidth": max(1, int(value.limit))}, Outcome(name, "enforced")
    field, unit = _LIMITS[name]
    least, least_text = _LEAST.get(field, (1, ""))
    limit = int(value.limit * unit)
    changes: dict[str, object] = {"limits": {field: max(least, limit)}}
    if least_text and limit < least:
        return changes, Outcome(name, "modified", f"the limit is {least_text}, the least that is possible")
    if reserves:
        return changes, Outcome(name, "modified", "the limit is enforced, and nothing is reserved")
    return changes, Outcome(name, "enforced")


def _translate_capabilities(
    isolator: str, value: Capabilities, *, from_image: bool
) -> tuple[dict[str, object], Outcome]:
    names = {name.removeprefix("CAP_") for name in value.names}
    default = {name.removeprefix("CAP_") for name in appc.DEFAULT_CAPABILITIES}
    requested = names if isolator == appc.RETAIN_CAPABILITIES else default - names
    allowed = default - {_NOT_FOR_IMAGES} if from_image else set(NUMBERS)
    kept = tuple(name for name in NUMBERS if name in requested & allowed)
    changes: dict[str, object] = {"capabilities": kept}
    if unknown := sorted(names - set(NUMBERS)):
        return changes, Outcome(isolator, "modified", f"there is no capability {unknown[0][:40]}")
    if refused := sorted(requested - allowed):
        reason = f"an image cannot give itself {', '.join(refused[:4])}"
        return changes, Outcome(isolator, "modified", reason)
    return changes, Outcome(isolator, "enforced")


def _translate_syscalls(
    isolator: str, value: Syscalls, directory: Path, *, from_image: bool
) -> tuple[dict[str, object], Outcome]:
    plan = plan_filter(isolator, value, is_bounded=from_image)
    effect: Effect = "modified" if plan.modification else "enforced"
    outcome = Outcome(isolator, effect, plan.modification)
    if plan.profile is None:
        return {}, outcome
    if not plan.profile:
        return {"seccomp": UNCONFINED}, outcome
    path = directory / f"{digest.hex_of(digest.of(plan.profile))}.json"
    if not path.exists():
        files.replace(path, plan.profile)
    return {"seccomp": str(path), "exact_filter": True}, outcome
