"""Run an image: prepare its tree, start a stage 1, forward signals, return the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.progress import Silent
from pumice.runtime import pod_plan, stage1
from pumice.runtime.container import Container
from pumice.runtime.isolation import ending
from pumice.runtime.launch import execution
from pumice.runtime.plan_recording import PlanRecorder, RepeatableRun
from pumice.runtime.run_options import ImageOptions, PodApp, PodOptions
from pumice.runtime.stage1.planning import plan_launch
from pumice.runtime.volumes.attachment import prepare_mounts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.runtime.launch.model import Launch
    from pumice.runtime.network.attachment import Attachment
    from pumice.runtime.pod_plan import PlannedApp
    from pumice.runtime.run_options import AppOptions
    from pumice.runtime.sandbox.memory_watch import MemoryWatch
    from pumice.runtime.stage1 import Stage1
    from pumice.store.home import Home


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
    with pod_plan.plan_apps(apps, pod, home, progress) as (planned, attachment, registration):
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
