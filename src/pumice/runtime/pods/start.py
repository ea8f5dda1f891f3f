"""Starting a pod: write its directory, and give it to a supervisor."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import SandboxError
from pumice.runtime import run
from pumice.runtime.container import IdMaps
from pumice.runtime.isolation import control_groups, pod_groups
from pumice.runtime.isolation.pod_groups import LimitedApp
from pumice.runtime.pod_inputs.model import InputApp, PodInput
from pumice.runtime.pods import pod_store
from pumice.runtime.pods.launch import Launch
from pumice.runtime.pods.pod_store import PodContent
from pumice.runtime.pods.records import HealthCheck, Pod
from pumice.runtime.pods.supervisor import log_writer, pod_files
from pumice.runtime.sandbox.argument_codec import encode_arguments
from pumice.runtime.stage1 import external
from pumice.runtime.stage1.builtin import Builtin, map_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pumice.formats import oci
    from pumice.runtime.container import Container
    from pumice.runtime.isolation.control_groups import ControlGroup
    from pumice.runtime.network.attachment import Attachment
    from pumice.runtime.run import PlannedApp
    from pumice.runtime.run_options import PodOptions
    from pumice.store.home import Home

_NANOSECONDS = 1_000_000_000


def make_pod(options: PodOptions, app: PlannedApp) -> Pod:
    """Return the record of a pod that runs one app."""
    name = options.name or pod_store.choose_name(app.reference, options.id)
    config = app.config
    return Pod(
        id=options.id,
        name=pod_store.check_name(name),
        image=app.reference,
        digest=app.digest,
        created=pod_files.format_time(time.time()),
        command=app.container.process.arguments,
        labels={**config.labels, **options.labels},
        stage1=options.stage1,
        stop_signal=app.options.stop_signal or config.stop_signal or "SIGTERM",
        health_check=_health_check(app.options.health_check or config.healthcheck),
        remove=options.remove,
        init=app.container.init,
        run_options=options.run_options,
        run_arguments=options.run_arguments,
        run_directory=options.run_directory,
        run_verb=options.run_verb,
    )


def describe_pod(options: PodOptions, apps: Sequence[PlannedApp], name: str) -> PodInput:
    """Return what was asked for, as a file would say it."""
    network = options.network
    return PodInput(
        name=name,
        apps=tuple(InputApp(app.reference, app.options) for app in apps),
        labels=options.labels,
        hostname=options.hostname,
        names=options.names,
        network=network.mode if network and network.mode == "host" else "",
        publish=network.publish if network else (),
        volumes=options.volumes,
        shares_pids=options.shares_pids,
    )


def make_content(options: PodOptions, apps: Sequence[PlannedApp], directory: Path) -> PodContent:
    """Return what the directory of a pod contains."""
    pod = make_pod(options, apps[0])
    spec = {pod_store.SPEC: msgspec.json.encode(describe_pod(options, apps, pod.name))}
    volumes = tuple(volume.name for volume in options.volumes)
    volume_files = {
        f"{pod_store.VOLUMES}/{volume.name}/{name}": data
        for volume in options.volumes
        for name, data in volume.files.items()
    }
    if not options.is_pod_of_several:
        plan = plan_files(apps[0].container, directory)
        return PodContent(pod, {**plan, **spec, **volume_files}, volumes)
    pod = msgspec.structs.replace(
        pod,
        labels=options.labels,
        apps=tuple(app.options.name for app in apps),
        shares_pids=options.shares_pids,
        health_check=None,
    )
    contents = []
    for app in apps:
        record = msgspec.structs.replace(
            make_pod(options, app),
            name=app.options.name,
            app_of=pod.name,
            after=app.options.after,
            shares_pids=options.shares_pids,
        )
        # The log exists from the beginning, so that it can be followed while the app waits for others.
        files = {**plan_files(app.container, directory), log_writer.NAME: b""}
        contents.append(PodContent(record, files))
    return PodContent(pod, {**spec, **volume_files}, volumes, tuple(contents))


def _health_check(check: oci.HealthCheck | None) -> HealthCheck | None:
    if check is None or not check.test[1:]:
        return None
    kind, *command = check.test
    if kind == "CMD-SHELL":
        command = ["/bin/sh", "-c", *command[:1]]
    elif kind != "CMD":
        return None
    default = HealthCheck(command=tuple(command))
    return HealthCheck(
        command=tuple(command),
        interval=check.interval / _NANOSECONDS or default.interval,
        timeout=check.timeout / _NANOSECONDS or default.timeout,
        start_period=check.start_period / _NANOSECONDS,
        retries=check.retries or default.retries,
    )


def plan_files(container: Container, directory: Path) -> dict[str, bytes]:
    """Return the files that `execute` needs for every stage 1: the options of the built-in sandbox."""
    start = Builtin().start(container, directory)
    options = run.sandbox_options(msgspec.structs.replace(container, cgroups=(), network_fd=-1), start, 2)
    external.check_arguments(options)
    plan = {pod_store.PLAN: encode_arguments(options)}
    for descriptor in start.descriptors:
        with os.fdopen(descriptor, "rb") as file:
            plan[pod_store.FILTER] = file.read()
    return plan


def start_pod(
    options: PodOptions, apps: Sequence[PlannedApp], home: Home, attachment: Attachment | None = None
) -> int:
    """Start a pod; return its exit code in the foreground, else 0 as soon as its programs were executed.

    In the foreground this process becomes the supervisor, so this function returns only if that fails.
    Raises PodError if the name is in use, and the errors of `run.execute`.
    """
    directory = home.directory("pods") / options.id
    content = make_content(options, apps, home.root)
    descriptors = pod_store.create_pod(home, content)
    trash = home.directory("tmp")
    home.close()  # the pod may run for weeks, and garbage collections must not wait for it
    try:
        if options.is_pod_of_several:
            _check_pod(options)
            containers = {app.options.name: app.container for app in apps}
            limits = pod_groups.limited_pod(containers)
        else:
            limits = _limit_one(apps[0].container)
        with limits as (limited, group):
            launch = Launch(content, directory, trash, descriptors, group, foreground=not options.detached)
            if options.is_pod_of_several:
                launch.add_holder(_make_holder(options, apps, attachment))
            for app, limited_app in zip(apps, limited.values(), strict=True):
                launch.add_app(app, limited_app)
            if attachment is not None:
                attachment.serve_in_background(launch.reason_writer)
            return launch.run()
    except BaseException:
        pod_files.remove_directory(str(directory), str(trash))
        raise
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@contextmanager
def _limit_one(container: Container) -> Iterator[tuple[dict[str, LimitedApp], ControlGroup]]:
    with control_groups.limited(container) as (limited, group):
        yield {"": LimitedApp(limited, tuple(group.directories))}, group


def _check_pod(options: PodOptions) -> None:
    """Raise SandboxError if the stage 1 cannot run several apps."""
    if options.stage1 != "builtin":
        raise SandboxError(
            f"{options.stage1} runs pods of one app only",
            hint="use --stage1 builtin, or one pod for each app",
        )


def _make_holder(
    options: PodOptions, apps: Sequence[PlannedApp], attachment: Attachment | None
) -> tuple[list[str], tuple[int, ...]]:
    """Return the options of the process that holds the namespaces, and the descriptors that it inherits."""
    container = apps[0].container
    network_fd = attachment.network_fd if attachment else -1
    words = [
        *("--hold", "--hostname", options.hostname, "--network", container.network),
        *(("--network-fd", str(network_fd)) if attachment else ()),
        *map_options(container.maps or IdMaps()),
    ]
    return words, (network_fd,) if attachment else ()
