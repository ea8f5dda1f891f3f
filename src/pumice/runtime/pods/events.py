"""The events of pods, read from the records in their directories: no process collects them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from pumice.runtime.pods import pod_store
from pumice.runtime.pods.directory_watch import DirectoryWatch
from pumice.runtime.pods.supervisor.pod_files import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.runtime.pods.pod_store import PodState
    from pumice.store.home import Home

CREATE, START, HEALTH, DIED, REMOVE = "create", "start", "health_status", "died", "remove"
KINDS = (CREATE, START, HEALTH, DIED, REMOVE)
"""What can happen to a pod, in podman's words and in this order."""
_RESCAN_SECONDS = 1.0
"""How often directories are read although nothing changed: a supervisor that is killed changes none."""


class PodEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a pod at ``time``, in RFC 3339.

    ``status`` is create, start, health_status, died or remove. ``exit_code`` belongs to died,
    and is null if the pod was removed before it was read; so does ``error``, which says why the pod ended
    although its program did not end by itself. ``health`` belongs to health_status.
    """

    time: str
    status: str
    id: str
    name: str
    image: str
    labels: dict[str, str]
    exit_code: int | None = None
    error: str | None = None
    health: str | None = None


def list_events(state: PodState) -> list[PodEvent]:
    """Return what is known to have happened to a pod; of its health only the present one."""
    pod = state.pod

    def event(status: str, moment: str, **fields: int | str | None) -> PodEvent:
        common = {"id": pod.id, "name": pod.name, "image": pod.image, "labels": pod.labels}
        return msgspec.convert({**common, **fields, "status": status, "time": moment}, PodEvent)

    events = [event(CREATE, pod.created)]
    if state.started:
        events.append(event(START, state.started.time))
    if state.health and state.health.time and state.health.status != "starting":
        events.append(event(HEALTH, state.health.time, health=state.health.status))
    if state.ended:
        # Nobody saw the end of a pod whose supervisor was killed, so it is noticed now.
        moment = state.ended.time or format_time(time.time())
        error = state.ended.error or None
        events.append(event(DIED, moment, exit_code=state.ended.exit_code, error=error))
    return events


def past_events(home: Home) -> list[PodEvent]:
    """Return the events of the pods that exist, the oldest first."""
    events = [event for state in pod_store.list_pods(home) for event in list_events(state)]
    return sorted(events, key=_order)


def follow_events(home: Home, until: float | None = None) -> Iterator[PodEvent]:
    """Yield first the past events, then those that happen, until the time ``until`` in seconds."""
    directory = home.directory("pods")
    watch = DirectoryWatch()
    watch.add([directory])
    seen: set[tuple[str, str, str]] = set()
    previous_states: dict[str, PodState] = {}
    try:
        while True:
            states = {state.pod.id: state for state in pod_store.list_pods(home)}
            # What happens between the reading and the watching of a directory is found by the next reading.
            watch.add(state.directory for state in states.values())
            events = [event for state in states.values() for event in list_events(state)]
            for pod_id in previous_states.keys() - states.keys():
                events += _removal(previous_states[pod_id])
            for event in sorted(events, key=_order):
                if _identity(event) not in seen:
                    seen.add(_identity(event))
                    yield event
            if until is not None and time.time() >= until:
                return
            is_new = states.keys() != previous_states.keys()
            previous_states = states
            remaining = _RESCAN_SECONDS if until is None else min(_RESCAN_SECONDS, until - time.time())
            watch.wait(0 if is_new else max(0.0, remaining))
    finally:
        watch.close()


def _removal(state: PodState) -> list[PodEvent]:
    """Return the events of a pod whose directory is gone, with the end that nobody has read."""
    created, *_ = list_events(state)
    now = format_time(time.time())
    kinds = (REMOVE,) if state.ended or not state.started else (DIED, REMOVE)
    return [msgspec.structs.replace(created, status=kind, time=now) for kind in kinds]


def _identity(event: PodEvent) -> tuple[str, str, str]:
    return event.id, event.status, event.health or ""


def _order(event: PodEvent) -> tuple[str, int]:
    return event.time, KINDS.index(event.status)
