"""Run an image: prepare its tree, start a stage 1, forward signals, return the exit code."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING

from pumice.formats import platforms
from pumice.progress import Silent
from pumice.runtime import name_resolution, prepared_tree, process, stage1
from pumice.runtime.container import Container, Mount
from pumice.runtime.container_request import ContainerRequest
from pumice.runtime.isolation import control_groups, ending
from pumice.runtime.isolation.machine import fit_container
from pumice.runtime.launch import execution
from pumice.runtime.plan_recording import PlanRecorder, RepeatableRun
from pumice.runtime.stage1 import external
from pumice.runtime.volume_owners import give_volumes
from pumice.trust import admission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pumice.formats.oci import Platform, RunConfig
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.runtime.container import Network
    from pumice.runtime.launch.control_groups import ControlGroup
    from pumice.runtime.launch.model import Launch
    from pumice.runtime.network.attachment import Attachment
    from pumice.runtime.network.request import NetworkRequest
    from pumice.runtime.pods.records import PodRequest
    from pumice.runtime.prepared_tree import PreparedTree
    from pumice.runtime.process import Overrides
    from pumice.runtime.quick.command_line import RunCommand
    from pumice.runtime.stage1 import Stage1
    from pumice.store.home import Home
    from pumice.trust.decision import AdmissionRequest, Decision
    from pumice.trust.unsigned_images import UnsignedImage


def run_image(
    image: Image,
    overrides: Overrides,
    *,
    home: Home,
    isolation: str = "builtin",
    network: NetworkRequest | None = None,
    read_only: bool = False,
    init: bool = False,
    mounts: Sequence[Mount] = (),
    platform: Platform | None = None,
    progress: Progress | None = None,
    reference: str = "",
    name: str = "",
    insecure: Sequence[str] = (),
    allow_older: bool = False,
    container_request: ContainerRequest | None = None,
    confirm: Callable[[UnsignedImage], bool] | None = None,
    pod: PodRequest | None = None,
    command: RunCommand | None = None,
) -> int:
    """Run the program of ``image`` in the foreground and return its exit code, 128+n for signal n.

    ``isolation`` is one of `stage1.NAMES`; what it cannot honor of ``container_request`` is reported. Changes
    of the program are discarded when it ends, except on ``mounts``. The image must pass `admission.admit`:
    ``reference`` is the requested reference, ``name`` the name that it must be signed as; ``confirm`` asks
    about an unsigned image. For ``pod``, see `pods.start.start_pod`. A plan is kept for ``command``.

    Raises ImageError, TrustError and FormatError for an unusable image, and SandboxError (exit code 126 or
    127) if it cannot be started.
    """
    progress = progress or Silent()
    recorder = PlanRecorder(command, progress) if command is not None else None
    progress = recorder.progress if recorder else progress
    names = container_request or ContainerRequest()
    reference = reference or image.root.digest
    request = admission.AdmissionRequest(reference=reference, name=name, allow_older=allow_older)
    decision = _admit(image, home, request, progress, "image" in insecure, confirm)
    platform_image = image.select(platform or platforms.from_machine(os.uname().machine))
    runner = stage1.choose(isolation)
    config, digest = platform_image.config().config, platform_image.root.digest
    if isolation == "fly" and network and network.mode == "auto":
        network = None  # it shares the network of the host
    with (
        prepared_tree.hold(platform_image, home, progress, verify=names.verify) as tree,
        _prepare_network(network, config, home, names, progress) as attachment,
    ):
        container = plan_container(
            *(config, tree, overrides, mounts),
            network=_network_of(network, attachment),
            attachment=attachment,
            read_only=read_only,
            init=init,
            request=names,
            filters=str(home.directory("seccomp")),
            has_terminal=os.isatty(0) and os.isatty(1),
        )
        container = fit_container(container, isolation, progress, strict=names.strict)
        give_volumes(container)
        if pod is not None:
            from pumice.runtime.pods.start import start_pod

            return start_pod(pod, (reference, digest), config, container, runner, tree, home, attachment)
        launch = plan_launch(container, runner)
        if recorder is not None:
            recorder.record(RepeatableRun(image, platform_image, decision, container, launch), home)
        home.close()  # a program may run for weeks, and garbage collections must not wait for it
        return execute_planned(launch, tree.root.parent, progress=progress, attachment=attachment)


def _admit(
    image: Image,
    home: Home,
    request: AdmissionRequest,
    progress: Progress,
    is_insecure: bool,
    confirm: Callable[[UnsignedImage], bool] | None,
) -> Decision:
    """Return the decision to run the image; raises TrustError if it must not run."""
    return admission.admit(
        *(image, "run", home, request),
        environ=os.environ,
        progress=progress,
        insecure=is_insecure,
        confirm=confirm,
    )


def _network_of(request: NetworkRequest | None, attachment: Attachment | None) -> Network:
    """Return the network of a container."""
    if attachment is not None:
        return "private"
    return "none" if request and request.mode == "none" else "host"


@contextmanager
def _prepare_network(
    request: NetworkRequest | None,
    config: RunConfig,
    home: Home,
    names: ContainerRequest,
    progress: Progress,
) -> Iterator[Attachment | None]:
    """Yield the attachment of a container to a private network, None without one."""
    if request is None or (request.mode in ("host", "none") and not (request.publish or request.publish_all)):
        yield None
        return
    from pumice.runtime.network.start import prepare_network

    attachment = prepare_network(
        request, config.exposed_ports, home, hostname=names.hostname, names=names.names, progress=progress
    )
    with closing(attachment) if attachment else nullcontext():
        yield attachment


def plan_container(
    config: RunConfig,
    tree: PreparedTree,
    overrides: Overrides,
    mounts: Sequence[Mount],
    *,
    network: Network,
    attachment: Attachment | None = None,
    read_only: bool = False,
    init: bool = False,
    request: ContainerRequest | None = None,
    filters: str = "",
    has_terminal: bool = False,
) -> Container:
    """Return the container for the tree of an image with ``config``; raises as `process.plan_process`."""
    request = request or ContainerRequest()
    return Container(
        root=str(tree.root),
        owners=str(tree.owners or ""),
        process=process.plan_process(config, tree.root, overrides, os.environ, has_terminal=has_terminal),
        mounts=(
            *(
                attachment.mounts()
                if attachment
                else name_resolution.plan_mounts(str(tree.root), request.names)
            ),
            *_volume_mounts(config.volumes, mounts, read_only),
            *mounts,
        ),
        files=() if attachment else name_resolution.plan_files(request.hostname, request.names),
        hostname=request.hostname,
        isolation=request.isolation,
        filters=filters,
        network=network,
        read_only=read_only,
        init=init,
    )


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
    limits = container.isolation.limits
    launch.groups = control_groups.plan_groups(limits)
    launch.needs_groups = control_groups.are_required(limits)
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
        explain=lambda code, group, started: _explain(code, launch, group, started, progress or Silent()),
    )


def _explain(code: int, launch: Launch, group: ControlGroup, started: int, progress: Progress) -> None:
    if explanation := ending.explain_end(code, launch, group, started):
        progress.warn(explanation)
