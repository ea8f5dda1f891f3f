"""Running another program in a running pod."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import PodError, UsageError
from pumice.runtime import process
from pumice.runtime.launch import execution
from pumice.runtime.launch.model import Start
from pumice.runtime.pods import pod_store, processes
from pumice.runtime.pods.machine_program import execute_in_machine
from pumice.runtime.sandbox.argument_codec import decode_arguments
from pumice.runtime.sandbox.options import parse_options
from pumice.runtime.stage1 import external

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.runtime.pods.pod_store import PodState
    from pumice.runtime.sandbox.options import Options

_MAX_PLAN = 64 << 20


class ExecRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. None keeps what the pod's own program has.

    ``environment`` is as in `process.Overrides`.
    """

    arguments: tuple[str, ...]
    user: str | None = None
    directory: str | None = None
    environment: tuple[str, ...] = ()


def execute_in_pod(state: PodState, request: ExecRequest) -> int:
    """Run a program in the container of a pod, with this process's streams, and return its exit code.

    It has the capabilities, the filter of system calls, the namespaces and the control groups of the pod's
    own program. Raises PodError if the pod does not run or is paused, UsageError and ImageError for an
    invalid request, and SandboxError if the program cannot be started.
    """
    processes.require_unpaused(state)
    plan = read_plan(state)
    if state.pod.stage1 == "kvm":
        processes.require_running(state)
        external.check_arguments(request.arguments)
        changes = tuple(_changes(parse_options([*plan, "--", *request.arguments]), request))
        external.check_arguments(changes)
        return execute_in_machine(state, parse_options([*plan, *changes, "--", *request.arguments]))
    with processes.open_program(state) as program:
        filters = _open_filter(state)
        changes = tuple(_changes(parse_options([*plan, "--", *request.arguments]), request))
        descriptors = (os.dup(program), *filters)
        joined = ("--join", str(descriptors[0]), *(("--seccomp", str(filters[0])) if filters else ()))
        external.check_arguments((*changes, *request.arguments))
        execution.block_signals()
        start = Start((*plan, *joined, *changes), request.arguments, descriptors)
        return execution.wait_for_sandbox(execution.spawn_sandbox(start))


def read_options(state: PodState) -> Options:
    """Return the options of the sandbox of a pod's own program; raises PodError if they are damaged."""
    return parse_options([*read_plan(state), "--", *state.pod.command])


def read_plan(state: PodState) -> list[str]:
    """Return the arguments of the sandbox of a pod's own program; raises PodError if they are damaged."""
    try:
        with (state.directory / pod_store.PLAN).open("rb") as file:
            return decode_arguments(file.read(_MAX_PLAN))
    except (OSError, ValueError):
        raise PodError(f"the plan of the pod {state.pod.name} is damaged or gone") from None


def _open_filter(state: PodState) -> tuple[int, ...]:
    """Return the descriptor of the pod's filter of system calls; empty if it has none."""
    try:
        return (os.open(state.directory / pod_store.FILTER, os.O_RDONLY | os.O_CLOEXEC),)
    except FileNotFoundError:
        return ()


def _changes(options: Options, request: ExecRequest) -> Iterator[str]:
    """Yield the options of the sandbox that differ from those of the pod's own program."""
    if os.isatty(0) and os.isatty(1):
        yield from ("--env", f"TERM={os.environ.get('TERM') or 'xterm'}")
    if request.user is not None:
        identity = process.find_identity(request.user, Path(options.root))
        yield from ("--uid", str(identity.uid), "--gid", str(identity.gid), "--no-groups")
        for group in identity.groups:
            yield from ("--group", str(group))
        yield from ("--env", f"HOME={identity.home}")
    if request.directory is not None:
        if not request.directory.startswith("/"):
            raise UsageError(
                f"the working directory {request.directory[:200]!r} is not an absolute path",
                hint=f"write /{request.directory[:200]}",
            )
        yield from ("--cwd", request.directory)
    for line in request.environment:
        name, equals, value = line.partition("=")
        if not name:
            raise UsageError(
                f"{line[:100]!r} is not a variable", hint="write --env NAME=VALUE, or --env NAME"
            )
        if equals or name in os.environ:
            yield from ("--env", f"{name}={value if equals else os.environ[name]}")
