"""The short way of ``pumice run``."""

from __future__ import annotations

import os

from pumice.errors import PumiceError
from pumice.runtime.launch import execution, forking, trees
from pumice.runtime.quick import circumstances, plans
from pumice.runtime.quick.command_line import read_command
from pumice.store.location import find_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.runtime.quick.plans import Plan
    from pumice.runtime.sandbox.memory_watch import MemoryWatch

_KILLED, _BAD_CALL = 128 + 9, 128 + 31
"""The exit codes about which the kernel may know more."""


def run_by_plan(words: Sequence[str], warn: Callable[[str], None]) -> int | None:
    """Run the image that the words after ``run`` name, and return the exit code of its program.

    Returns None, without having done anything, if there is no plan for these words that is still right.
    ``warn`` prints why the program was killed, if the kernel knows. Raises SandboxError if the program cannot
    be started.
    """
    plan = _find_plan(words)
    lock = trees.lock_tree(plan.tree) if plan is not None else None
    if plan is None or lock is None:
        return None
    try:
        if not trees.is_unchanged(plan.tree):
            return None
        if plan.network:
            return _run_with_network(plan, warn)
        # A program sees the command line of its init, which after a fork is that of this process.
        is_seen = "--init" in plan.launch.options
        spawn = execution.spawn_sandbox if is_seen else forking.start_quickly
        return _execute(plan, spawn, warn)
    finally:
        os.close(lock)


def _run_with_network(plan: Plan, warn: Callable[[str], None]) -> int | None:
    from pumice.runtime.quick import networks  # most of what it imports is only for networks

    attachment = networks.prepare(plan, find_directory(os.environ))
    if attachment is None:
        return None
    try:
        network = execution.Network(attachment.network_fd, attachment.serve)
        # A copy of this process would keep the ports that pasta is to have.
        return _execute(plan, execution.spawn_sandbox, warn, network)
    finally:
        attachment.close()


def _execute(
    plan: Plan,
    spawn: execution.Spawn,
    warn: Callable[[str], None],
    network: execution.Network | None = None,
) -> int:
    return execution.execute_launch(
        *(plan.launch, plan.tree, spawn),
        network=network,
        explain=lambda code, memory, started: _explain(code, memory, started, warn),
    )


def _find_plan(words: Sequence[str]) -> Plan | None:
    """Return the plan for a command line, with its arguments, if it is right in these circumstances."""
    command = read_command(words)
    if command is None or os.environ.get(circumstances.SWITCH) == "0":
        return None
    try:
        store = find_directory(os.environ)
        if os.stat(store).st_uid != os.geteuid():
            return None  # the usual way says whether this user may use another user's store
        plan = plans.load_plan(store, circumstances.make_key(command, store, os.environ))
        if plan is not None and plan.is_valid() and plan.add_arguments(command.further_arguments):
            return plan
    except (OSError, PumiceError):
        pass
    return None


def _explain(code: int, memory: MemoryWatch, started: int, warn: Callable[[str], None]) -> None:
    """Say why a program was killed; this is `ending.explain_end` with fewer modules."""
    explanation = memory.explain_kill() if code == _KILLED else ""
    if code == _BAD_CALL:
        from pumice.runtime.isolation import ending

        explanation = ending.explain_bad_call(started)
    if explanation:
        warn(explanation)
