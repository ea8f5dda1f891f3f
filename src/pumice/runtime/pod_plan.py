"""The plan of a pod: its apps with their containers, its network, and its access to the metadata service."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, contextmanager, nullcontext
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import UsageError
from pumice.formats import platforms
from pumice.runtime import id_maps, name_resolution, prepared_tree, process, stage1
from pumice.runtime.app_container.adoption import adopt_app
from pumice.runtime.container import Container, Mount
from pumice.runtime.isolation.machine import fit_container
from pumice.runtime.run_options import ImageOptions, PodApp, PodOptions
from pumice.runtime.volumes.attachment import lock_volumes
from pumice.trust import admission

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pumice.formats.oci import RunConfig
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.runtime.app_container.adoption import AdoptedApp
    from pumice.runtime.container import Network
    from pumice.runtime.metadata.registration import Registration
    from pumice.runtime.network.attachment import Attachment
    from pumice.runtime.prepared_tree import PreparedTree
    from pumice.runtime.run_options import AppOptions
    from pumice.store.home import Home
    from pumice.trust.decision import Decision


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
        pod_context = _PodContext(
            pod=pod,
            backend=backend,
            attachment=attachment,
            registration=registration,
            home=home,
            progress=progress,
        )
        each = zip(apps, images, decisions, trees, adopted_apps, strict=True)
        planned = [_plan_app(pod_context, *parts) for parts in each]
        if pod.is_pod_of_several and backend != "fly":
            planned = share_namespaces(planned, backend)
        yield planned, attachment, registration


class _PodContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the containers of a pod have in common."""

    pod: PodOptions
    backend: str
    attachment: Attachment | None
    registration: Registration | None
    home: Home
    progress: Progress


def _plan_app(
    pod_context: _PodContext,
    app: PodApp,
    image: Image,
    decision: Decision,
    tree: PreparedTree,
    adopted: AdoptedApp,
) -> PlannedApp:
    """Return an app with its container, which has the volumes of its pod and the directory of its filters."""
    pod, home = pod_context.pod, pod_context.home
    config = adopted.run_config(tree)
    mounts = lock_volumes(adopted.options.mounts, home)
    options = msgspec.structs.replace(adopted.options, mounts=mounts)
    network = choose_network(pod, pod_context.attachment)
    container = plan_container(config, tree, options, pod, network=network, attachment=pod_context.attachment)
    mounts = (*container.mounts, *_pod_mounts(options, home.root / "pods" / pod.id))
    container = msgspec.structs.replace(container, filters=str(home.directory("seccomp")), mounts=mounts)
    container = adopted.complete(container, pod_context.backend, pod_context.progress)
    container = fit_container(
        *(container, pod_context.backend, pod_context.progress),
        strict=pod.strict,
        in_pod=pod.is_pod_of_several,
    )
    reference = app.source.reference or app.image.root.digest
    if pod_context.registration is not None:
        source = (image.config(), reference, image.root.digest)
        container = pod_context.registration.add_app(source, adopted, container)
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
    maps = id_maps.shared_maps(
        users, unprivileged=modes == {"auto"}, needs_root=backend in ("runc", "crun", "kvm")
    )
    return [
        msgspec.structs.replace(app, container=msgspec.structs.replace(app.container, maps=maps))
        for app in apps
    ]


def _pod_mounts(app: AppOptions, directory: Path) -> Iterator[Mount]:
    """Yield the mounts of volumes of the pod, whose directory this is."""
    for mount in app.volumes:
        source = directory / "volumes" / mount.volume / mount.path
        yield Mount(str(source), mount.target, mount.read_only, relabel=mount.relabel)


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
    )


def _volume_mounts(
    declared_volumes: Iterable[str], mounts: Sequence[Mount], read_only: bool
) -> Iterator[Mount]:
    """Yield a tmpfs for each volume that the image declares, if the root is read-only."""
    mounted = {mount.target for mount in mounts}
    for path in sorted(declared_volumes) if read_only else ():
        if path.startswith("/") and path not in mounted:
            yield Mount("", path)
