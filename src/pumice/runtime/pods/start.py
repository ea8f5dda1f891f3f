"""Starting a pod: write its directory, and give it to a supervisor."""

from __future__ import annotations

import os
import time
from contextlib import closing
from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.runtime import id_maps, stage1
from pumice.runtime.container import IdMaps
from pumice.runtime.guest import connection_program, program_start, sharing
from pumice.runtime.launch import execution
from pumice.runtime.launch.control_groups import create_groups
from pumice.runtime.launch.model import SANDBOX
from pumice.runtime.launch.pod_groups import create_pod_groups
from pumice.runtime.pod_inputs.model import InputApp, PodInput
from pumice.runtime.pods import pod_store
from pumice.runtime.pods.pod_store import EmptyVolume, PodContent
from pumice.runtime.pods.records import HealthCheck, Pod
from pumice.runtime.pods.supervision import Supervision
from pumice.runtime.pods.supervisor import health, log_writer, pod_files
from pumice.runtime.sandbox.argument_codec import decode_arguments, encode_arguments
from pumice.runtime.sandbox.options import parse_options
from pumice.runtime.stage1 import external
from pumice.runtime.stage1.builtin import Builtin
from pumice.runtime.stage1.planning import plan_launch, plan_machine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.formats import oci
    from pumice.runtime.container import Container
    from pumice.runtime.launch.control_groups import ControlGroup
    from pumice.runtime.launch.model import Launch
    from pumice.runtime.metadata.registration import Registration
    from pumice.runtime.network.attachment import Attachment
    from pumice.runtime.pod_plan import PlannedApp
    from pumice.runtime.run_options import PodOptions
    from pumice.store.home import Home

_MACHINE_GROUP = ".machine"
"""The control group of the virtual machine among those of its apps, which never have such a name."""
_NANOSECONDS = 1_000_000_000
_CHECK_KINDS: dict[str, Literal["exec", "http", "tcp"]] = {"CMD": "exec", "HTTP": "http", "TCP": "tcp"}
"""What an image or a file calls the kinds of checks; only files have the last two."""


def make_pod(options: PodOptions, app: PlannedApp) -> Pod:
    """Return the record of a pod that runs one app."""
    name = options.name or pod_store.choose_name(app.reference, options.id)
    config = app.config
    return Pod(
        id=options.id,
        name=pod_store.check_name(name),
        image=app.reference,
        digest=app.image.root.digest,
        created=pod_files.format_time(time.time()),
        command=app.container.process.arguments,
        labels={**config.labels, **options.labels},
        stage1=options.stage1,
        stop_signal=app.options.stop_signal or config.stop_signal or "SIGTERM",
        health_check=make_health_check(app.options.health_check, app.config.healthcheck),
        remove=options.remove,
        init=app.container.init or _has_parent(options, app),
        interactive=options.detached and app.options.interactive,
        terminal=options.detached and app.options.terminal,
        shares_root=options.stage1 != "kvm" or bool(sharing.find_server(app.container)),
        run_options=options.run_options,
        run_arguments=options.run_arguments,
        run_directory=options.run_directory,
        run_verb=options.run_verb,
    )


def _has_parent(options: PodOptions, app: PlannedApp) -> bool:
    """Return whether fly has a process above the program, which runs its event handlers."""
    return options.stage1 == "fly" and bool(app.container.pre_start or app.container.post_stop)


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


def make_content(options: PodOptions, apps: Sequence[PlannedApp]) -> PodContent:
    """Return what the directory of a pod contains."""
    pod = make_pod(options, apps[0])
    spec = {pod_store.SPEC: msgspec.json.encode(describe_pod(options, apps, pod.name))}
    volumes = tuple(
        EmptyVolume(volume.name, volume.mode, volume.uid, volume.gid) for volume in options.volumes
    )
    volume_files = {
        f"{pod_store.VOLUMES}/{volume.name}/{name}": data
        for volume in options.volumes
        for name, data in volume.files.items()
    }
    if not options.is_pod_of_several:
        plan = plan_files(apps[0].container)
        check = _plan_machine_check(pod, plan)
        return PodContent(pod, {**plan, **check, **spec, **volume_files}, volumes)
    pod = msgspec.structs.replace(
        pod,
        labels=options.labels,
        apps=tuple(app.options.name for app in apps),
        shares_pids=any(app.container.pod_pids for app in apps),
        health_check=None,
    )
    contents = []
    for app in apps:
        record = msgspec.structs.replace(
            make_pod(options, app),
            name=app.options.name,
            app_of=pod.name,
            after=app.options.after,
            shares_pids=app.container.pod_pids,
        )
        # The log exists from the beginning, so that it can be followed while the app waits for others.
        plan = plan_files(app.container)
        files = {**plan, **_plan_machine_check(record, plan), log_writer.NAME: b""}
        contents.append(PodContent(record, files))
    return PodContent(pod, {**spec, **volume_files}, volumes, tuple(contents))


def make_health_check(
    requested: oci.HealthCheck | None, of_image: oci.HealthCheck | None
) -> HealthCheck | None:
    """Return the health check of an app: what was requested, and for the rest that of its image."""
    check = requested or of_image
    if requested is not None and not requested.test and of_image is not None:
        fields = msgspec.structs.asdict(requested)
        check = msgspec.structs.replace(of_image, **{name: value for name, value in fields.items() if value})
    if check is None or not check.test[1:]:
        return None
    kind, *command = check.test
    if kind == "CMD-SHELL":
        command = ["/bin/sh", "-c", *command[:1]]
    elif kind not in _CHECK_KINDS:
        return None
    default = HealthCheck(command=tuple(command))
    return HealthCheck(
        command=tuple(command),
        kind=_CHECK_KINDS.get(kind, "exec"),
        interval=check.interval / _NANOSECONDS or default.interval,
        timeout=check.timeout / _NANOSECONDS or default.timeout,
        start_period=check.start_period / _NANOSECONDS,
        retries=check.retries or default.retries,
    )


def plan_files(container: Container) -> dict[str, bytes]:
    """Return the files that `execute` needs for every stage 1: the options of the built-in sandbox."""
    launch = Builtin().plan(container)
    external.check_arguments(launch.options)
    plan = {pod_store.PLAN: encode_arguments(launch.options)}
    if launch.filter:
        plan[pod_store.FILTER] = launch.filter
    return plan


def _plan_machine_check(pod: Pod, plan: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the file with the health check of an app in a virtual machine, if it has one."""
    if pod.stage1 != "kvm" or pod.health_check is None:
        return {}
    if pod.health_check.kind != "exec":
        return {health.MACHINE_PROGRAM: connection_program.assemble_connection()}
    options = parse_options([*decode_arguments(plan[pod_store.PLAN]), "--", *pod.health_check.command])
    program = program_start.describe_joined(options, plan.get(pod_store.FILTER, b""), ())
    return {health.MACHINE_PROGRAM: program_start.assemble_joined(program)}


def start_pod(
    options: PodOptions,
    apps: Sequence[PlannedApp],
    home: Home,
    *,
    attachment: Attachment | None = None,
    registration: Registration | None = None,
) -> int:
    """Start a pod; return its exit code in the foreground, else 0 as soon as its programs were executed.

    In the foreground this process becomes the supervisor, so this function returns only if that fails.
    Raises PodError if the name is in use, and the errors of `run.execute`.
    """
    directory = home.directory("pods") / options.id
    content = _with_registration(make_content(options, apps), registration)
    descriptors = pod_store.create_pod(home, content)
    trash = home.directory("tmp")
    home.close()  # the pod may run for weeks, and garbage collections must not wait for it
    try:
        machine, launches = _plan_launches(options, apps)
        machines = {_MACHINE_GROUP: machine} if machine else {}
        groups, directories = _create_groups(options, {**launches, **machines})
        with closing(groups):
            supervision = Supervision(
                *(content, directory, trash, descriptors, groups),
                foreground=not options.detached,
                notifies=not any("NOTIFY_SOCKET" in app.container.process.environment for app in apps),
            )
            network = _choose_network(attachment, registration)
            _add_apps(supervision, apps, {**launches, **machines}, directories, network)
            _start_services(supervision, attachment, registration)
            return supervision.run()
    except BaseException:
        pod_files.remove_directory(str(directory), str(trash))
        raise
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _plan_launches(
    options: PodOptions, apps: Sequence[PlannedApp]
) -> tuple[Launch | None, dict[str, Launch]]:
    """Return how to start the virtual machine of several apps, if they have one, and each app."""
    containers = {app.options.name: app.container for app in apps}
    if options.is_pod_of_several and options.stage1 == "kvm":
        return plan_machine(containers)
    runner = stage1.choose(options.stage1)
    return None, {name: plan_launch(container, runner) for name, container in containers.items()}


def _with_registration(content: PodContent, registration: Registration | None) -> PodContent:
    """Return the content of a pod with the files of its registration with the metadata service."""
    if registration is None:
        return content
    files = {**content.files, **registration.files(content.pod.name)}
    return msgspec.structs.replace(content, files=files)


def _start_services(
    supervision: Supervision, attachment: Attachment | None, registration: Registration | None
) -> None:
    """Start what serves a pod beside its supervisor: its network, and its access to the metadata service."""
    if attachment is not None:
        attachment.serve_in_background(supervision.reason_writer)
    if registration is not None:
        supervision.add_relay(registration.open_relay())
        registration.start(supervision.reason_writer)


def _add_apps(
    supervision: Supervision,
    apps: Sequence[PlannedApp],
    launches: Mapping[str, Launch],
    directories: Mapping[str, list[str]],
    network: execution.Network | None,
) -> None:
    """Add the apps of a pod, and for several the process that holds their namespaces and their network."""
    container = apps[0].container
    if container.is_in_pod:
        has_engine = any(launch.kind != SANDBOX for launch in launches.values())
        holder = _make_holder(container, network, has_engine=has_engine)
        if _MACHINE_GROUP in launches:
            supervision.add_machine(*holder, launches[_MACHINE_GROUP], directories[_MACHINE_GROUP])
        else:
            supervision.add_holder(*holder)
        network = None
    for app in apps:
        name = app.options.name
        supervision.add_app(launches[name], _find_locks(app), directories[name], network)


def _find_locks(app: PlannedApp) -> tuple[int, ...]:
    """Return the descriptors that keep the root file system and the volumes of an app."""
    return (app.tree.lock, *(mount.lock for mount in app.container.mounts if mount.lock >= 0))


def _choose_network(
    attachment: Attachment | None, registration: Registration | None
) -> execution.Network | None:
    """Return what connects the network of a pod, None if it needs no connection."""
    if attachment is not None:
        return execution.Network(attachment.network_fd, attachment.serve)
    return registration.network if registration is not None else None


def _create_groups(
    options: PodOptions, launches: Mapping[str, Launch]
) -> tuple[ControlGroup, dict[str, list[str]]]:
    """Create the control groups of a pod, and return them with those of each app."""
    if options.is_pod_of_several:
        return create_pod_groups(launches)
    ((name, launch),) = launches.items()
    groups = create_groups(launch.groups, required=launch.needs_groups)
    return groups, {name: groups.directories}


def _make_holder(
    container: Container, network: execution.Network | None, *, has_engine: bool
) -> tuple[list[str], tuple[int, ...]]:
    """Return the options of the process that holds the namespaces, and the descriptors that it inherits."""
    words = [
        *("--hold", "--hostname", container.hostname, "--network", container.network),
        *(("--only-root",) if has_engine else ()),
        *(("--network-fd", str(network.descriptor)) if network else ()),
        *id_maps.map_options(container.maps or IdMaps()),
    ]
    return words, (network.descriptor,) if network else ()
