"""Run an image: prepare its tree, start a stage 1, forward signals, return the exit code."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, contextmanager, nullcontext
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import SandboxError, UsageError
from pumice.formats import platforms
from pumice.progress import Silent
from pumice.runtime import id_maps, name_resolution, prepared_tree, process, stage1
from pumice.runtime.app_container.adoption import adopt_app
from pumice.runtime.container import Container, Mount
from pumice.runtime.isolation import control_groups, ending
from pumice.runtime.isolation.machine import fit_container
from pumice.runtime.launch import execution
from pumice.runtime.plan_recording import PlanRecorder, RepeatableRun
from pumice.runtime.run_options import ImageOptions, PodApp, PodOptions
from pumice.runtime.stage1 import external
from pumice.runtime.volumes.attachment import lock_volumes, prepare_mounts
from pumice.trust import admission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pumice.formats.oci import HealthCheck, RunConfig
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.runtime.app_container.adoption import AdoptedApp
    from pumice.runtime.container import Network
    from pumice.runtime.launch.model import Launch
    from pumice.runtime.metadata.registration import Registration
    from pumice.runtime.network.attachment import Attachment
    from pumice.runtime.prepared_tree import PreparedTree
    from pumice.runtime.run_options import AppOptions
    from pumice.runtime.sandbox.memory_watch import MemoryWatch
    from pumice.runtime.stage1 import Stage1
    from pumice.store.home import Home
    from pumice.trust.decision import Decision


def run_image(
    image: Image,
    app: AppOptions,
    pod: PodOptions | None = None,
    *,
    home: Home,
    source: ImageOptions | None = None,
    progress: Progress | None = None,
) -> int:
    """Run the program of ``image`` in the foreground and return its exit code, 128+n for signal n.

    What the stage 1 cannot honor of the options is reported. Changes of the program are discarded when it
    ends, except on mounts. The image must pass `admission.admit`. For a pod with an id, see
    `pods.start.start_pod`; of any other run, a plan is kept.

    Raises ImageError, TrustError and FormatError for an unusable image, and SandboxError (exit code 126 or
    127) if it cannot be started.
    """
    requested = PodApp(image, app, source or ImageOptions())
    return run_apps([requested], pod or PodOptions(), home=home, progress=progress or Silent())


def run_apps(apps: Sequence[PodApp], pod: PodOptions, *, home: Home, progress: Progress) -> int:
    """Run apps in one pod, as `run_image` runs one; several need a pod with an id."""
    command = apps[0].source.command
    has_plan = command and not pod.id and pod.stage1 != "kvm"  # its files are not part of a plan
    recorder = PlanRecorder(command, progress) if command and has_plan else None
    progress = recorder.progress if recorder else progress
    with plan_apps(apps, pod, home, progress) as (planned, attachment, registration):
        for app in planned:
            prepare_mounts(app.container, stage1.resolve_name(pod.stage1), home)
        if pod.id:
            from pumice.runtime.pods.start import start_pod

            return start_pod(pod, planned, home, attachment=attachment, registration=registration)
        app = planned[0]
        launch = plan_launch(app.container, stage1.choose(pod.stage1))
        if recorder is not None:
            network = _describe_network(pod, app, attachment)
            run = RepeatableRun(apps[0].image, app.image, app.decision, app.container, launch, network)
            recorder.record(run, home)
        home.close()  # a program may run for weeks, and garbage collections must not wait for it
        return execute_planned(launch, app.tree.root.parent, progress=progress, attachment=attachment)


def _describe_network(pod: PodOptions, app: PlannedApp, attachment: Attachment | None) -> tuple[str, ...]:
    """Return what a plan needs to make the network of a run again."""
    if attachment is None or pod.network is None:
        return ()
    from pumice.runtime.quick import networks

    return networks.describe(pod.network, pod.names, pod.hostname, app.config.exposed_ports, attachment)


class PlannedApp(msgspec.Struct, frozen=True, kw_only=True):
    """An app that can be started: its image for this platform, the decision to run it, and its container."""

    options: AppOptions
    reference: str
    image: Image
    decision: Decision
    config: RunConfig
    tree: PreparedTree
    container: Container


@contextmanager
def plan_apps(
    apps: Sequence[PodApp], pod: PodOptions, home: Home, progress: Progress
) -> Iterator[tuple[list[PlannedApp], Attachment | None, Registration | None]]:
    """Yield the apps of a pod with their containers, its attachment to a network, and its registration.

    Raises the errors of `run_image`.
    """
    decisions = [admit_image(app.image, home, app.source, progress) for app in apps]
    machine = platforms.from_machine(os.uname().machine)
    images = [app.image.select(app.source.platform or machine) for app in apps]
    backend = stage1.resolve_name(pod.stage1)
    stage1.choose(backend)
    _check_pod(pod, backend)
    adopted_apps = [adopt_app(*each, pod, home, progress) for each in zip(apps, images, strict=True)]
    with ExitStack() as stack:
        trees = [
            stack.enter_context(prepared_tree.hold(image, home, progress, verify=pod.verify))
            for image in images
        ]
        ports = [port for adopted in adopted_apps for port in adopted.config.exposed_ports]
        attachment = stack.enter_context(prepare_network(pod, ports, home, progress))
        limit_bandwidth([adopted.options for adopted in adopted_apps], pod, attachment, progress)
        registration = stack.enter_context(prepare_metadata(pod, home, attachment))
        common = _PodParts(
            pod=pod,
            backend=backend,
            attachment=attachment,
            registration=registration,
            home=home,
            progress=progress,
        )
        each = zip(apps, images, decisions, trees, adopted_apps, strict=True)
        planned = [_plan_app(common, *parts) for parts in each]
        if pod.is_pod_of_several and backend != "fly":
            planned = share_namespaces(planned, backend)
        yield planned, attachment, registration


class _PodParts(msgspec.Struct, frozen=True, kw_only=True):
    """What the containers of a pod have in common."""

    pod: PodOptions
    backend: str
    attachment: Attachment | None
    registration: Registration | None
    home: Home
    progress: Progress


def _plan_app(
    common: _PodParts, app: PodApp, image: Image, decision: Decision, tree: PreparedTree, adopted: AdoptedApp
) -> PlannedApp:
    """Return an app with its container, which has the volumes of its pod and the directory of its filters."""
    pod, home = common.pod, common.home
    config = adopted.run_config(tree)
    mounts = lock_volumes(adopted.options.mounts, home)
    options = msgspec.structs.replace(adopted.options, mounts=mounts)
    network = choose_network(pod, common.attachment)
    container = plan_container(config, tree, options, pod, network=network, attachment=common.attachment)
    mounts = (*container.mounts, *_pod_mounts(options, home.root / "pods" / pod.id))
    container = msgspec.structs.replace(container, filters=str(home.directory("seccomp")), mounts=mounts)
    container = adopted.complete(container, common.backend, common.progress)
    container = fit_container(
        *(container, common.backend, common.progress), strict=pod.strict, in_pod=pod.is_pod_of_several
    )
    reference = app.source.reference or app.image.root.digest
    if common.registration is not None:
        source = (image.config(), reference, image.root.digest)
        container = common.registration.add_app(source, adopted, container)
    return PlannedApp(
        options=app.options,
        reference=reference,
        image=image,
        decision=decision,
        config=config,
        tree=tree,
        container=container,
    )


def share_namespaces(apps: Sequence[PlannedApp], backend: str) -> list[PlannedApp]:
    """Return the apps of a pod of several, whose containers share a user namespace and the network."""
    containers = [app.container for app in apps]
    users = [(container.process.uid, container.process.gid) for container in containers]
    modes = {container.isolation.user_namespace for container in containers}
    if len(modes) > 1:
        raise UsageError(
            "--userns differs between the apps of the pod", hint="pass it once, for the first app"
        )
    maps = id_maps.shared_maps(users, unprivileged=modes == {"auto"}, needs_root=backend in ("runc", "crun"))
    return [
        msgspec.structs.replace(app, container=msgspec.structs.replace(app.container, maps=maps))
        for app in apps
    ]


def _check_pod(pod: PodOptions, backend: str) -> None:
    """Raise SandboxError if the stage 1 cannot run several apps."""
    if pod.is_pod_of_several and backend == "kvm":
        raise SandboxError(
            "kvm runs pods of one app only",
            hint="use another --stage1, or one pod for each app",
        )


def _pod_mounts(app: AppOptions, directory: Path) -> Iterator[Mount]:
    """Yield the mounts of volumes of the pod, whose directory this is."""
    for mount in app.volumes:
        source = directory / "volumes" / mount.volume / mount.path
        yield Mount(str(source), mount.target, mount.read_only)


def admit_image(image: Image, home: Home, source: ImageOptions, progress: Progress) -> Decision:
    """Return the decision to run the image; raises TrustError if it must not run."""
    request = admission.AdmissionRequest(
        reference=source.reference or image.root.digest, name=source.name, allow_older=source.allow_older
    )
    return admission.admit(
        *(image, "run", home, request),
        environ=os.environ,
        progress=progress,
        insecure=source.is_insecure,
        confirm=source.confirm,
    )


def choose_network(pod: PodOptions, attachment: Attachment | None) -> Network:
    """Return the network of the containers of a pod."""
    if attachment is not None:
        return "private"
    return "none" if pod.network and pod.network.mode == "none" else "host"


@contextmanager
def prepare_network(
    pod: PodOptions, exposed_ports: Iterable[str], home: Home, progress: Progress
) -> Iterator[Attachment | None]:
    """Yield the attachment of a pod to a private network, None without one.

    ``exposed_ports`` are the ports that its images declare.
    """
    request = pod.network
    if pod.stage1 == "fly" and request and request.mode == "auto":
        request = msgspec.structs.replace(request, mode="host")
    if request is None or (request.mode in ("host", "none") and not (request.publish or request.publish_all)):
        yield None
        return
    from pumice.runtime.network import start

    attachment = start.prepare_network(
        request, exposed_ports, home, hostname=pod.hostname, names=pod.names, progress=progress
    )
    with closing(attachment) if attachment else nullcontext():
        yield attachment


def limit_bandwidth(
    apps: Sequence[AppOptions], pod: PodOptions, attachment: Attachment | None, progress: Progress
) -> None:
    """Limit the network of a pod as the isolators say, and report those that cannot be honored."""
    if any(app.isolation.network_bandwidth or app.isolation.pod_network_bandwidth for app in apps):
        from pumice.runtime.app_container import network_isolators

        network_isolators.limit_bandwidth(apps, pod, attachment, progress)


@contextmanager
def prepare_metadata(
    pod: PodOptions, home: Home, attachment: Attachment | None
) -> Iterator[Registration | None]:
    """Yield the access of a pod to the metadata service, None without one."""
    if pod.metadata is None:
        yield None
        return
    from pumice.runtime.metadata.registration import Registration

    with closing(Registration(home.root.absolute(), pod, attachment)) as registration:
        yield registration


def plan_container(
    config: RunConfig,
    tree: PreparedTree,
    app: AppOptions,
    pod: PodOptions,
    *,
    network: Network,
    attachment: Attachment | None = None,
) -> Container:
    """Return the container for the tree of an image with ``config``; raises as `process.plan_process`."""
    has_terminal = app.terminal and (pod.detached or not pod.is_pod_of_several)
    return Container(
        root=str(tree.root),
        owners=str(tree.owners or ""),
        process=process.plan_process(config, tree.root, app.process, os.environ, has_terminal=has_terminal),
        mounts=(
            *(attachment.mounts() if attachment else name_resolution.plan_mounts(str(tree.root), pod.names)),
            *_volume_mounts(config.volumes, app.mounts, app.read_only),
            *app.mounts,
        ),
        files=() if attachment else name_resolution.plan_files(pod.hostname, pod.names),
        hostname=pod.hostname,
        isolation=app.isolation,
        network=network,
        ports=tuple(f"{port.container}/{port.protocol}" for port in attachment.ports) if attachment else (),
        read_only=app.read_only,
        init=app.init,
        setup=app.setup,
        pod_pids=pod.is_pod_of_several and pod.shares_pids,
        terminal=app.terminal if pod.detached else None,
        has_name_servers=pod.names.chooses_servers,
        checks_network=pod.detached and _checks_network(app.health_check, config.healthcheck),
    )


def _checks_network(*checks: HealthCheck | None) -> bool:
    """Return whether the first of ``checks`` with a test asks a server of the container."""
    tests = [check.test for check in checks if check and check.test]
    return bool(tests and tests[0][0] in ("HTTP", "TCP"))


def _volume_mounts(
    declared_volumes: Iterable[str], mounts: Sequence[Mount], read_only: bool
) -> Iterator[Mount]:
    """Yield a tmpfs for each volume that the image declares, if the root is read-only."""
    mounted = {mount.target for mount in mounts}
    for path in sorted(declared_volumes) if read_only else ():
        if path.startswith("/") and path not in mounted:
            yield Mount("", path)


def plan_launch(container: Container, runner: Stage1) -> Launch:
    """Return how to start a container; raises SandboxError if that is impossible here."""
    launch = runner.plan(container)
    limits = (container.isolation.limits, container.isolation.pod_limits)
    launch.groups = control_groups.plan_groups(*limits)
    launch.needs_groups = control_groups.are_required(*limits)
    external.check_arguments((*launch.options, *launch.program))
    return launch


def execute(
    container: Container,
    runner: Stage1,
    scratch: Path,
    streams: tuple[int, int, int] = (0, 1, 2),
    attachment: Attachment | None = None,
    progress: Progress | None = None,
    watch: Callable[[int], AbstractContextManager[object]] | None = None,
) -> int:
    """Plan a container with ``runner`` and run it as `execute_planned` does."""
    launch = plan_launch(container, runner)
    return execute_planned(launch, scratch, streams, attachment, progress, watch)


def execute_planned(
    launch: Launch,
    scratch: Path,
    streams: tuple[int, int, int] = (0, 1, 2),
    attachment: Attachment | None = None,
    progress: Progress | None = None,
    watch: Callable[[int], AbstractContextManager[object]] | None = None,
) -> int:
    """Run a container and return the exit code of its program; see `run_image`.

    ``attachment`` is its private network. ``progress`` learns why the program was killed, if the kernel
    knows. The other arguments are those of `execution.execute_launch`.
    """
    return execution.execute_launch(
        *(launch, str(scratch), execution.spawn_sandbox),
        streams=streams,
        network=execution.Network(attachment.network_fd, attachment.serve) if attachment else None,
        watch=watch,
        explain=lambda code, memory, started: _explain(code, memory, started, progress or Silent()),
    )


def _explain(code: int, memory: MemoryWatch, started: int, progress: Progress) -> None:
    if explanation := ending.explain_end(code, memory, started):
        progress.warn(explanation)
