"""What ``pumice inspect`` shows of a pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import output
from pumice.cli.pods import pod_times, pod_views, port_views
from pumice.cli.pods.port_views import ListedPort
from pumice.runtime.pods import inspection, pod_store
from pumice.runtime.pods.inspection import (
    AppIsolation,
    AppMount,
    AppUser,
    IsolationInForce,
    PodNetwork,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.runtime.pod_inputs.model import PodInput
    from pumice.runtime.pods.pod_store import PodState
    from pumice.runtime.pods.records import HealthCheck
    from pumice.store.home import Home


class InspectedHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A health check and its last result; times are in seconds. ``kind`` is exec, http or tcp."""

    kind: str
    command: tuple[str, ...]
    interval: float
    timeout: float
    start_period: float
    retries: int
    status: str | None
    failures: int
    exit_code: int | None
    output: str
    time: str | None


class InspectedApp(msgspec.Struct, frozen=True, kw_only=True):
    """An app of a pod. Times are in RFC 3339.

    ``image`` is the reference that was run, ``digest`` that of the manifest. ``isolation`` is what was asked
    for, with the defaults; ``in_force`` is what the kernel says, null if the app does not run. ``logs`` are
    the files with its output. ``after`` are the apps that it waits for. ``user``, ``isolation`` and
    the rest of the plan are null if the record is damaged.
    """

    name: str
    image: str
    digest: str
    command: tuple[str, ...]
    environment: dict[str, str]
    working_directory: str
    user: AppUser | None
    mounts: tuple[AppMount, ...]
    isolation: AppIsolation | None
    in_force: IsolationInForce | None
    state: str
    started: str | None
    ended: str | None
    exit_code: int | None
    error: str | None
    pid: int | None
    stop_signal: str
    init: bool
    interactive: bool
    terminal: bool
    health: InspectedHealth | None
    logs: tuple[str, ...]
    after: tuple[str, ...]


class InspectedPod(msgspec.Struct, frozen=True, kw_only=True):
    """A pod. Times are in RFC 3339.

    ``state`` and the exit code are as in ``pumice status``. ``create_command`` is the command that started
    it; it and ``environment`` can contain secrets. ``directory`` has its files, ``volumes`` are those that
    exist as long as the pod. ``ports`` are published ports of a running pod.
    """

    id: str
    name: str
    state: str
    status: str
    created: str
    started: str | None
    ended: str | None
    exit_code: int | None
    error: str | None
    labels: dict[str, str]
    stage1: str
    supervisor_pid: int | None
    create_command: tuple[str, ...]
    directory: str
    removed_at_end: bool
    hostname: str
    shares_pids: bool
    network: PodNetwork
    ports: tuple[ListedPort, ...]
    volumes: tuple[str, ...]
    apps: tuple[InspectedApp, ...]


def inspect_pod(state: PodState, home: Home, app: str | None = None) -> InspectedPod:
    """Return what is known of a pod, with all its apps or only ``app``; raises PodError if it has no such."""
    pod, now = state.pod, pod_times.current_time()
    shown = pod_views.describe_pod(state, now)
    specification = inspection.read_specification_or_none(state)
    apps = [pod_store.find_app(state, app)] if app else pod_store.read_apps(state)
    verb = (pod.run_verb, *pod.run_options, *pod.run_arguments)
    return InspectedPod(
        id=pod.id,
        name=pod.name,
        state=state.state,
        status=shown.status,
        created=pod.created,
        started=shown.started,
        ended=shown.ended,
        exit_code=shown.exit_code,
        error=shown.error,
        labels=pod.labels,
        stage1=pod.stage1,
        supervisor_pid=state.started.supervisor if state.started and state.has_program else None,
        create_command=("pumice", *verb) if pod.run_arguments else (),
        directory=str(state.directory),
        removed_at_end=pod.remove,
        hostname=specification.hostname if specification else "",
        shares_pids=pod.shares_pids,
        network=inspection.describe_network(state, home),
        ports=tuple(map(port_views.describe_port, inspection.list_known_ports(state, home))),
        volumes=tuple(volume.name for volume in specification.volumes) if specification else (),
        apps=tuple(_inspect_app(each, specification) for each in apps),
    )


def _inspect_app(state: PodState, specification: PodInput | None) -> InspectedApp:
    pod, plan = state.pod, inspection.read_plan_or_none(state)
    shown = pod_views.describe_pod(state, pod_times.current_time())
    requested = [
        app.options.isolation
        for app in (specification.apps if specification else ())
        if not pod.app_of or app.options.name == pod.name
    ]
    return InspectedApp(
        name=pod.name,
        image=pod.image,
        digest=pod.digest,
        command=pod.command,
        environment=inspection.show_environment(plan) if plan else {},
        working_directory=plan.cwd if plan else "",
        user=inspection.describe_user(plan) if plan else None,
        mounts=inspection.list_mounts(plan) if plan else (),
        isolation=inspection.describe_isolation(plan, requested[0] if requested else None) if plan else None,
        in_force=inspection.read_isolation_in_force(state) if state.has_program else None,
        state=state.state,
        started=shown.started,
        ended=shown.ended,
        exit_code=shown.exit_code,
        error=shown.error,
        pid=shown.pid,
        stop_signal=pod.stop_signal,
        init=pod.init,
        interactive=pod.interactive,
        terminal=pod.terminal,
        health=_inspect_health(state, pod.health_check) if pod.health_check else None,
        logs=inspection.list_logs(state),
        after=tuple(dependency.app for dependency in pod.after),
    )


def _inspect_health(state: PodState, check: HealthCheck) -> InspectedHealth:
    result = state.health
    return InspectedHealth(
        kind=check.kind,
        command=check.command,
        interval=check.interval,
        timeout=check.timeout,
        start_period=check.start_period,
        retries=check.retries,
        status=result.status if result else "starting" if state.has_program else None,
        failures=result.failures if result else 0,
        exit_code=result.exit_code if result else None,
        output=result.output if result else "",
        time=result.time if result else None,
    )


def format_pod(pod: InspectedPod) -> Iterator[str]:
    """Yield the lines that describe a pod to people."""
    yield from _format_fields(
        [
            ("pod", f"{pod.name} ({pod.id})"),
            ("status", pod.status),
            ("error", pod.error),
            ("created", pod.created),
            ("started", pod.started),
            ("ended", pod.ended),
            ("stage 1", pod.stage1),
            ("host name", pod.hostname),
            ("network", " ".join(word for word in (pod.network.type, pod.network.name) if word)),
            ("addresses", ", ".join(pod.network.addresses)),
            ("ports", ", ".join(port_views.format_port(published) for published in pod.ports)),
            ("labels", ", ".join(f"{name}={value}" for name, value in sorted(pod.labels.items()))),
            ("volumes", ", ".join(pod.volumes)),
            ("directory", pod.directory),
            ("command", _join(pod.create_command)),
        ]
    )
    for app in pod.apps:
        yield ""
        yield from _format_app(app)


def _format_app(app: InspectedApp) -> Iterator[str]:
    user = app.user
    yield output.printable_line(f"app {app.name}")
    yield from _format_fields(
        [
            ("image", app.image),
            ("digest", app.digest),
            ("command", _join(app.command)),
            ("directory", app.working_directory),
            ("user", f"{user.uid}:{user.gid}" if user else None),
            ("state", app.state if app.exit_code is None else f"{app.state} ({app.exit_code})"),
            ("error", app.error),
            ("process", str(app.pid) if app.pid else None),
            ("health", app.health.status if app.health else None),
            ("after", ", ".join(app.after)),
            ("logs", ", ".join(app.logs)),
            *(_list_isolation(app.in_force) if app.in_force else ()),
        ],
        "  ",
    )
    yield from _format_list(
        "mounts",
        [
            f"{mount.source or mount.type} on {mount.target}{' (read-only)' if mount.read_only else ''}"
            for mount in app.mounts
        ],
    )
    yield from _format_list("environment", [f"{name}={value}" for name, value in app.environment.items()])


def _list_isolation(force: IsolationInForce) -> Iterator[tuple[str, str | None]]:
    yield "capabilities", " ".join(force.capabilities) or "none"
    yield "seccomp", "filter" if force.has_seccomp_filter else "none"
    yield "namespaces", " ".join(force.namespaces)
    yield "memory", output.format_size(force.memory) if force.memory is not None else None
    yield "processors", f"{force.cpus:g}" if force.cpus is not None else None
    yield "pids", str(force.pids) if force.pids is not None else None


def _format_fields(pairs: Sequence[tuple[str, str | None]], indent: str = "") -> Iterator[str]:
    for name, value in pairs:
        if value:
            yield f"{indent}{name:<12}  {output.printable_line(value)}"


def _format_list(name: str, values: Sequence[str]) -> Iterator[str]:
    if values:
        yield f"  {name}"
        yield from (f"    {output.printable_line(value)}" for value in values)


def _join(words: Sequence[str]) -> str:
    import shlex

    return shlex.join(words)
