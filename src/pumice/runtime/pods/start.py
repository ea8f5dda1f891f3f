"""Starting a pod: write its directory, and give it to a supervisor."""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import SandboxError
from pumice.runtime import run
from pumice.runtime.launch import execution
from pumice.runtime.launch.control_groups import create_groups
from pumice.runtime.launch.engines import choose_engine, create_memory_file
from pumice.runtime.launch.errors import raise_reason
from pumice.runtime.pods import pod_store, processes, supervisor
from pumice.runtime.pods.records import HealthCheck, Pod
from pumice.runtime.pods.supervisor import pod_files
from pumice.runtime.sandbox.argument_codec import encode_arguments
from pumice.runtime.stage1 import external
from pumice.runtime.stage1.builtin import Builtin

if TYPE_CHECKING:
    from pumice.formats import oci
    from pumice.formats.oci import RunConfig
    from pumice.runtime.container import Container
    from pumice.runtime.launch.control_groups import ControlGroup
    from pumice.runtime.launch.model import Start
    from pumice.runtime.metadata.registration import Registration
    from pumice.runtime.network.attachment import Attachment
    from pumice.runtime.prepared_tree import PreparedTree
    from pumice.runtime.run_options import PodOptions
    from pumice.runtime.stage1 import Stage1
    from pumice.store.home import Home

_SUPERVISOR = str(Path(supervisor.__file__).with_name("__main__.py"))
_NANOSECONDS = 1_000_000_000
_MAX_REPORT = 1 << 16


def make_pod(request: PodOptions, container: Container, config: RunConfig, *, image: str, digest: str) -> Pod:
    """Return the record of a pod that runs ``container``, which an image with ``config`` led to."""
    name = request.name or pod_store.choose_name(image, request.id)
    return Pod(
        id=request.id,
        name=pod_store.check_name(name),
        image=image,
        digest=digest,
        created=pod_files.format_time(time.time()),
        command=container.process.arguments,
        labels={**config.labels, **request.labels},
        stage1=request.stage1,
        stop_signal=config.stop_signal or "SIGTERM",
        health_check=_health_check(config.healthcheck),
        remove=request.remove,
        init=container.init,
        run_options=request.run_options,
        run_arguments=request.run_arguments,
        run_directory=request.run_directory,
    )


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


def plan_files(container: Container) -> dict[str, bytes]:
    """Return the files that `execute` needs for every stage 1: the options of the built-in sandbox."""
    launch = Builtin().plan(container)
    external.check_arguments(launch.options)
    plan = {pod_store.PLAN: encode_arguments(launch.options)}
    if launch.filter:
        plan[pod_store.FILTER] = launch.filter
    return plan


def start_pod(
    request: PodOptions,
    source: tuple[str, str],
    config: RunConfig,
    container: Container,
    runner: Stage1,
    tree: PreparedTree,
    home: Home,
    *,
    attachment: Attachment | None = None,
    registration: Registration | None = None,
) -> int:
    """Start a pod; return its exit code in the foreground, else 0 as soon as the program was executed.

    ``source`` is the reference of its image and the digest of the manifest that runs. In the
    foreground this process becomes the supervisor, so this function returns only if that fails. Raises
    PodError if the name is in use, and the errors of `run.execute`.
    """
    pod = make_pod(request, container, config, image=source[0], digest=source[1])
    files = plan_files(container)
    if registration is not None:
        files |= registration.files(pod.name)
    descriptor = pod_store.create_pod(home, pod, files)
    directory = home.root / "pods" / pod.id
    trash = home.directory("tmp")
    home.close()  # the pod may run for weeks, and garbage collections must not wait for it
    try:
        launch = run.plan_launch(container, runner)
        with closing(create_groups(launch.groups, required=launch.needs_groups)) as group:
            network = _choose_network(attachment, registration)
            start = choose_engine(launch).start(launch, str(directory))
            locks = (descriptor, tree.lock, *(mount.lock for mount in container.mounts if mount.lock >= 0))
            supervision = _Supervision(
                execution.add_descriptors(start, group, network), directory, locks, group
            )
            command = supervision.command(pod, trash, foreground=not request.detached)
            if attachment is not None:
                attachment.serve_in_background(supervision.reason_writer)
            if registration is not None:
                registration.start(supervision.reason_writer)
            if not request.detached:
                supervision.become(command)
            return supervision.spawn(command)
    except BaseException:
        pod_files.remove_directory(str(directory), str(trash))
        raise
    finally:
        os.close(descriptor)


def _choose_network(
    attachment: Attachment | None, registration: Registration | None
) -> execution.Network | None:
    """Return what connects the network of a pod, None if it needs no connection."""
    if attachment is not None:
        return execution.Network(attachment.network_fd, attachment.serve)
    return registration.network if registration is not None else None


class _Supervision:
    """The descriptors that a supervisor inherits."""

    def __init__(
        self,
        start: Start,
        directory: Path,
        locks: tuple[int, ...],
        group: ControlGroup,
    ) -> None:
        self._directory = directory
        self._descriptor, *retained_locks = locks
        self._group = group
        self._reasons = os.pipe()
        self._executed = os.pipe()
        self._report = os.pipe()
        reports = ("--status-fd", str(self._reasons[1]), "--exec-fd", str(self._executed[1]))
        arguments = create_memory_file(encode_arguments((*start.options, *reports)))
        self._inherited = (arguments, *start.descriptors)
        self._retained = [*start.retained, *retained_locks, *group.locks]
        self._program = ("--args", str(arguments), "--", *start.program)

    @property
    def reason_writer(self) -> int:
        """The descriptor on which the reason of a failure is written."""
        return self._reasons[1]

    def command(self, pod: Pod, trash: Path, *, foreground: bool) -> list[str]:
        """Return the command line of the supervisor."""
        has_terminal = foreground and os.isatty(0) and os.isatty(1)
        return [
            *(sys.executable, "-I", "-S", _SUPERVISOR),
            *("--directory", str(self._descriptor), "--path", str(self._directory), "--trash", str(trash)),
            *("--reasons", *map(str, self._reasons), "--executed", *map(str, self._executed)),
            *(argument for number in self._inherited for argument in ("--inherit", str(number))),
            *(("--foreground",) if foreground else ("--report", str(self._report[1]))),
            *(
                ("--notify", os.environ["NOTIFY_SOCKET"])
                if foreground and "NOTIFY_SOCKET" in os.environ
                else ()
            ),
            *(("--terminal",) if has_terminal else ()),
            *(("--remove",) if pod.remove else ()),
            *(word for path in self._group.directories for word in ("--cgroup", str(path))),
            *("--depth", str(processes.namespace_depth(pod)), *(("--init",) if pod.init else ())),
            *_health_arguments(pod.health_check),
            *("--", *self._program),
        ]

    def _all(self, *, foreground: bool) -> list[int]:
        report = () if foreground else (self._report[1],)
        return [
            *(self._descriptor, *self._retained),
            *(*self._reasons, *self._executed, *report, *self._inherited),
        ]

    def become(self, command: list[str]) -> None:
        """Execute the supervisor in this process, with its streams."""
        for number in self._all(foreground=True):
            os.set_inheritable(number, True)
        os.execve(command[0], command, execution.program_environment())  # noqa: S606 - the supervisor needs no shell

    def spawn(self, command: list[str]) -> int:
        """Start the supervisor in a session of its own; return 0 when it has executed the program."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for number in self._all(foreground=False):
            os.set_inheritable(number, True)
        os.posix_spawn(
            *(command[0], command, execution.program_environment()),
            file_actions=[
                *((os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1, 2)),
                (os.POSIX_SPAWN_CLOSE, self._report[0]),
            ],
            setsid=True,
            setsigmask=(),
        )
        for number in (null, *self._reasons, *self._executed, self._report[1], *self._inherited):
            os.close(number)
        with os.fdopen(self._report[0], "rb") as file:
            text = file.read(_MAX_REPORT).decode(errors="replace")
        if text == "started\n":
            self._group.release()
            return 0
        code, _, reason = text.partition("\n")
        if reason:
            raise_reason(reason, int(code))
        if not code:
            raise SandboxError("the supervisor of the pod ended unexpectedly")
        return 0  # the program has ended already


def _health_arguments(check: HealthCheck | None) -> tuple[str, ...]:
    if check is None:
        return ()
    times = (check.interval, check.timeout, check.start_period, check.retries)
    texts = [*map(str, times), *check.command]
    return ("--health", str(len(texts)), *texts)
