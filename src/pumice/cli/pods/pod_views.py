"""What ``ps`` and ``status`` show of a pod, and the arguments that commands on pods share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.pods import pod_times
from pumice.digest import hex_of

if TYPE_CHECKING:
    from pumice.runtime.pods.pod_store import PodState
    from pumice.runtime.pods.records import Health
    from pumice.store.home import Home

SHORT_ID = 12
"""Characters of an id that tell pods apart."""


class ListedApp(msgspec.Struct, frozen=True, kw_only=True):
    """An app of a pod of several; see `ListedPod`. ``after`` are the apps that it waits for."""

    name: str
    image: str
    digest: str
    command: tuple[str, ...]
    state: str
    status: str
    started: str | None
    ended: str | None
    exit_code: int | None
    error: str | None
    health: str | None
    pid: int | None
    after: tuple[str, ...] = ()


class ListedPod(msgspec.Struct, frozen=True, kw_only=True):
    """A pod. Times are in RFC 3339.

    ``state`` is created, prepared, starting, running, paused or exited; ``status`` says it in words.
    ``error`` is why the pod ended although its program did not. ``health`` is starting, healthy or
    unhealthy, and null without a health check. ``pid`` is the program's number on this machine. ``apps``
    are those of a pod of several; then the image and the command are those of the first.
    """

    id: str
    name: str
    image: str
    digest: str
    command: tuple[str, ...]
    labels: dict[str, str]
    stage1: str
    state: str
    status: str
    created: str
    started: str | None
    ended: str | None
    exit_code: int | None
    error: str | None
    health: str | None
    health_failures: int | None
    health_output: str | None
    pid: int | None
    apps: tuple[ListedApp, ...] = ()


def describe_pod(state: PodState, now: float) -> ListedPod:
    """Return what is shown of a pod at the time ``now`` in seconds."""
    pod, health = state.pod, _health(state)
    return ListedPod(
        id=pod.id,
        name=pod.name,
        image=pod.image,
        digest=pod.digest,
        command=pod.command,
        labels=pod.labels,
        stage1=pod.stage1,
        state=state.state,
        status=_status(state, health, now),
        created=pod.created,
        started=state.started.time if state.started else None,
        ended=state.ended.time if state.ended else None,
        exit_code=state.ended.exit_code if state.ended else None,
        error=(state.ended.error or None) if state.ended else None,
        health=health.status if health else None,
        health_failures=health.failures if health else None,
        health_output=health.output if health else None,
        pid=None if pod.apps else _program_id(state),
        apps=_describe_apps(state, now),
    )


def _describe_apps(state: PodState, now: float) -> tuple[ListedApp, ...]:
    """Return what is shown of the apps of a pod of several."""
    from pumice.runtime.pods import pod_store

    apps = []
    for app in pod_store.read_apps(state) if state.pod.apps else ():
        described = describe_pod(app, now)
        fields = {name: getattr(described, name) for name in ListedApp.__struct_fields__ if name != "after"}
        apps.append(ListedApp(**fields, after=tuple(dependency.app for dependency in app.pod.after)))
    return tuple(apps)


def _health(state: PodState) -> Health | None:
    """Return the health of a pod that runs and has a health check."""
    from pumice.runtime.pods.records import Health

    if state.pod.health_check is None or not state.has_program:
        return None
    return state.health or Health(status="starting")


def _program_id(state: PodState) -> int | None:
    from pumice.errors import PodError
    from pumice.runtime.pods import processes

    try:
        return processes.find_program(state)
    except PodError:
        return None


def _status(state: PodState, health: Health | None, now: float) -> str:
    """Return the state in words, as podman does: ``Up 5 minutes (healthy)``, ``Exited (0) 2 hours ago``."""
    from pumice.runtime.sandbox.memory_watch import OUT_OF_MEMORY

    if state.ended:
        age = f" {pod_times.format_age(state.ended.time, now)} ago" if state.ended.time else ""
        reason = f" ({OUT_OF_MEMORY})" if OUT_OF_MEMORY in state.ended.error else ""
        return f"Exited ({state.ended.exit_code}){age}{reason}"
    if state.started and state.state == "running":
        suffix = f" ({health.status})" if health else ""
        return f"Up {pod_times.format_age(state.started.time, now)}{suffix}"
    return state.state.capitalize()


def short_digest(pod: ListedPod) -> str:
    """Return the beginning of the digest of a pod's image."""
    return hex_of(pod.digest)[:SHORT_ID]


def open_home() -> Home:
    """Return the store of this user."""
    from pumice.store.home import Home, locate

    return Home(locate(os.environ))
