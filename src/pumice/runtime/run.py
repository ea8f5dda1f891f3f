"""Run an image: prepare its tree, start a stage 1, forward signals, return the exit code."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import PumiceError, SandboxError
from pumice.formats import platforms
from pumice.progress import Silent
from pumice.runtime import name_resolution, prepared_tree, process, sandbox, stage1
from pumice.runtime.container import Container, Mount
from pumice.runtime.isolation import control_groups, ending
from pumice.runtime.isolation.machine import fit_container
from pumice.runtime.run_options import ImageOptions, PodOptions
from pumice.runtime.sandbox.argument_codec import encode_arguments
from pumice.runtime.sandbox.errors import NOT_EXECUTABLE, NOT_FOUND
from pumice.runtime.sandbox.options import DEFAULT_PATH
from pumice.runtime.sandbox.signals import FORWARDED_SIGNALS
from pumice.runtime.sandbox.supervision import wait_and_forward
from pumice.runtime.stage1 import external
from pumice.runtime.volume_owners import give_volumes
from pumice.trust import admission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import NoReturn

    from pumice.formats.oci import RunConfig
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.runtime.container import Network
    from pumice.runtime.network.attachment import Attachment
    from pumice.runtime.prepared_tree import PreparedTree
    from pumice.runtime.run_options import AppOptions
    from pumice.runtime.stage1 import Stage1, Start
    from pumice.store.home import Home

MAX_REASON = 1 << 16
"""Bytes of a failure reason that are read."""
_SANDBOX = str(Path(sandbox.__file__).with_name("__main__.py"))


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
    `pods.start.start_pod`. Raises ImageError, TrustError and FormatError for an unusable image, and
    SandboxError (exit code 126 or 127) if it cannot be started.
    """
    progress, pod, source = progress or Silent(), pod or PodOptions(), source or ImageOptions()
    reference = source.reference or image.root.digest
    admit_image(image, home, source, progress)
    platform_image = image.select(source.platform or platforms.from_machine(os.uname().machine))
    backend = stage1.resolve_name(pod.stage1)
    runner = stage1.choose(backend)
    config, digest = platform_image.config().config, platform_image.root.digest
    with (
        prepared_tree.hold(platform_image, home, progress, verify=pod.verify) as tree,
        prepare_network(pod, config.exposed_ports, home, progress) as attachment,
    ):
        container = plan_container(
            config, tree, app, pod, network=choose_network(pod, attachment), attachment=attachment
        )
        container = msgspec.structs.replace(container, filters=str(home.directory("seccomp")))
        container = fit_container(container, backend, progress, strict=pod.strict)
        give_volumes(container)
        if pod.id:
            from pumice.runtime.pods.start import start_pod

            return start_pod(pod, (reference, digest), config, container, runner, tree, home, attachment)
        home.close()  # a program may run for weeks, and garbage collections must not wait for it
        return execute(container, runner, tree.root.parent, progress=progress, attachment=attachment)


def admit_image(image: Image, home: Home, source: ImageOptions, progress: Progress) -> None:
    """Raise TrustError if the image must not run."""
    request = admission.AdmissionRequest(
        reference=source.reference or image.root.digest, name=source.name, allow_older=source.allow_older
    )
    admission.admit(
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
        request = None  # it shares the network of the host
    if request is None or (request.mode in ("host", "none") and not (request.publish or request.publish_all)):
        yield None
        return
    from pumice.runtime.network import start

    attachment = start.prepare_network(
        request, exposed_ports, home, hostname=pod.hostname, names=pod.names, progress=progress
    )
    with closing(attachment) if attachment else nullcontext():
        yield attachment


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
    return Container(
        root=str(tree.root),
        owners=str(tree.owners or ""),
        process=process.plan_process(config, tree.root, app.process, os.environ, has_terminal=app.terminal),
        mounts=(
            *(attachment.mounts() if attachment else name_resolution.plan_mounts(str(tree.root), pod.names)),
            *_volume_mounts(config.volumes, app.mounts, app.read_only),
            *app.mounts,
        ),
        files=() if attachment else name_resolution.plan_files(pod.hostname, pod.names),
        hostname=pod.hostname,
        isolation=app.isolation,
        network=network,
        network_fd=attachment.network_fd if attachment else -1,
        ports=tuple(f"{port.container}/{port.protocol}" for port in attachment.ports) if attachment else (),
        read_only=app.read_only,
        init=app.init,
        setup=app.setup,
    )


def _volume_mounts(
    declared_volumes: Iterable[str], mounts: Sequence[Mount], read_only: bool
) -> Iterator[Mount]:
    """Yield a tmpfs for each volume that the image declares, if the root is read-only."""
    mounted = {mount.target for mount in mounts}
    for path in sorted(declared_volumes) if read_only else ():
        if path.startswith("/") and path not in mounted:
            yield Mount("", path)


def execute(
    container: Container,
    runner: Stage1,
    scratch: Path,
    streams: tuple[int, int, int] = (0, 1, 2),
    attachment: Attachment | None = None,
    progress: Progress | None = None,
    watch: Callable[[int], AbstractContextManager[object]] = nullcontext,
) -> int:
    """Run a container with ``runner`` and return the exit code of its program; see `run_image`.

    ``streams`` are the descriptors that become its standard input, output and error; ``attachment`` is its
    private network. ``progress`` learns why the program was killed, if the kernel knows. ``watch`` takes the
    process id of the sandbox, and returns a context that is open while it runs.
    """
    started = time.monotonic_ns() // 1000
    with control_groups.limited(container) as (limited, group), closing(runner), blocked_signals():
        start = runner.start(limited, scratch)
        reasons, pid = spawn_sandbox(limited, start, streams)
        if attachment is not None:
            _connect_network(attachment, pid, reasons)
        code = runner.finish(wait_for_sandbox(reasons, pid, lambda: runner.target(pid), watch))
        if explanation := ending.explain_end(code, container.isolation, group, started):
            (progress or Silent()).warn(explanation)
        return code


def _connect_network(attachment: Attachment, pid: int, reasons: int) -> None:
    """Connect the network of a started sandbox; if that fails, end it, and raise its reason or ours."""
    try:
        attachment.serve()
    except PumiceError:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_for_sandbox(reasons, pid)
        raise


def wait_for_sandbox(
    reasons: int,
    pid: int,
    target: Callable[[], int] | None = None,
    watch: Callable[[int], AbstractContextManager[object]] = nullcontext,
) -> int:
    """Wait for a sandbox that was spawned and return its exit code; raises SandboxError for its reason.

    Signals go to the process that ``target`` returns, by default to the sandbox. ``watch`` is as in
    `execute`.
    """
    with os.fdopen(reasons, "rb") as file:
        with watch(pid):
            code = wait_and_forward(pid, target)
        os.set_blocking(reasons, False)
        text = (file.read(MAX_REASON) or b"").decode(errors="replace").strip()
    if text:
        raise_reason(text, code)
    return code


def raise_reason(text: str, code: int) -> NoReturn:
    """Raise the error for the reason that a sandbox gave for not starting its program."""
    message, _, hint = text.partition("\n  hint: ")
    if code in (NOT_FOUND, NOT_EXECUTABLE):
        program, _, reason = message.rpartition(": ")
        raise external.NotRunnableError(program, code, reason)
    raise SandboxError(message, hint=hint or None)


def spawn_sandbox(container: Container, start: Start, streams: tuple[int, int, int]) -> tuple[int, int]:
    """Start the sandbox in its own process; return the descriptor for failure reasons, and the process id.

    ``streams`` are as for `execute`.
    """
    network = (container.network_fd,) if container.network_fd >= 0 else ()
    start = msgspec.structs.replace(start, descriptors=(*start.descriptors, *container.cgroups, *network))
    return spawn_with_options(lambda reasons: sandbox_options(container, start, reasons), start, streams)


def spawn_with_options(
    make_options: Callable[[int], Sequence[str]], start: Start, streams: tuple[int, int, int]
) -> tuple[int, int]:
    """Start the sandbox as `spawn_sandbox` does, with the options made for the descriptor of reasons.

    Options are passed in a memory file, because every user can read a command line.
    """
    reason_reader, reason_writer = os.pipe()
    inherited = [reason_writer, *start.descriptors]
    try:
        options = make_options(reason_writer)
        external.check_arguments((*options, *start.program))
        inherited.append(external.create_memory_file(encode_arguments(options)))
        for descriptor in inherited:
            os.set_inheritable(descriptor, True)
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", _SANDBOX, "--args", str(inherited[-1]), "--", *start.program],
            # The program must not get this environment: it could read it through /proc.
            {"PATH": os.environ.get("PATH", DEFAULT_PATH)},
            file_actions=[(os.POSIX_SPAWN_DUP2, stream, number) for number, stream in enumerate(streams)],
            setsigmask=(),
            setsigdef=(signal.SIGPIPE,),
        )
    except BaseException:
        os.close(reason_reader)
        raise
    finally:
        for descriptor in inherited:
            os.close(descriptor)
    return reason_reader, pid


def sandbox_options(container: Container, start: Start, status_fd: int) -> list[str]:
    """Return the options of the sandbox; reasons of failures go to ``status_fd``."""
    files = [argument for name, text in container.files for argument in ("--file", name, text)]
    return [
        *("--root", container.root, "--status-fd", str(status_fd), "--die-with-parent"),
        *files,
        *(("--network", container.network) if container.network == "private" else ()),
        *(("--network-fd", str(container.network_fd)) if container.network_fd >= 0 else ()),
        *(word for descriptor in container.cgroups for word in ("--cgroup", str(descriptor))),
        *start.options,
    ]


@contextmanager
def blocked_signals() -> Iterator[None]:
    """Block the signals that `wait_and_forward` handles, so that none ends this process early."""
    blocked = FORWARDED_SIGNALS | {signal.SIGCHLD}
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)
