"""``pumice stats``: show what running pods use of the machine."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import output, results
from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments, pod_views
from pumice.errors import PodError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.runtime.pods.pod_store import PodState
    from pumice.runtime.pods.usage import Usage

_CLEAR = "\x1b[H\x1b[2J"


class PodStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod uses. Sizes are in bytes, ``pids`` counts processes, or threads if that is known.

    ``cpu_percent`` is that of one processor since the last line, at first since the start of the program,
    as ``average_cpu_percent`` always is. ``memory_limit`` is the memory of the machine for a pod
    without a limit. The network is null for a pod that has that of the machine.
    """

    id: str
    name: str
    cpu_percent: float
    average_cpu_percent: float
    cpu_seconds: float
    memory: int
    memory_limit: int
    memory_percent: float
    network_received: int | None
    network_sent: int | None
    block_read: int
    block_written: int
    pids: int


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice stats``."""
    parser = command_line.make_parser(
        "stats",
        "Show the processor time, memory, traffic and processes of running pods, repeatedly.",
        progress=False,
        examples=("pumice stats --no-stream", "pumice stats --no-stream --format '{{.Name}} {{.Memory}}'"),
    )
    parser.add_argument(
        "pods", metavar="POD", nargs="*", help="name or id of a pod (default: all running pods)"
    )
    pod_arguments.add_app(parser)
    parser.add_argument("--no-stream", action="store_true", help="measure once and exit")
    parser.add_argument(
        "-i",
        "--interval",
        type=_seconds,
        default=5,
        metavar="SECONDS",
        help="seconds between two measurements (default: 5)",
    )
    parser.add_argument(
        "--no-reset", action="store_true", help="do not clear the screen between measurements"
    )
    parser.add_argument("--no-trunc", action="store_true", help="print ids in full")
    results.add_format_options(parser, "stats", example="Name")
    return parser


def _seconds(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 86_400:
        raise ValueError(text)
    return number


_seconds.__name__ = "number"  # argparse prints the name in errors


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import pod_store, processes

    named_pods = pod_arguments.find_pods(options.pods)
    for state in named_pods:
        processes.require_running(state)
    with pod_views.open_home() as home:
        home.directory("pods")
        home.close()
        previous: dict[str, Usage] = {}
        while True:
            states = named_pods or [state for state in pod_store.list_pods(home) if state.has_program]
            stats, previous = _measure(_list_apps(states, options.app), previous)
            _write(stats, options)
            if options.no_stream or (named_pods and not stats):
                return 0
            print(end="", flush=True)
            time.sleep(options.interval)


def _list_apps(pods: Sequence[PodState], app: str | None) -> list[tuple[str, PodState]]:
    """Return the apps of pods, or only ``app``, with their names: ``POD/APP`` in a pod of several.

    The virtual machine of several has the name of the pod.
    """
    from pumice.runtime.pods import pod_store, processes

    if app is not None:
        return [(f"{pod.pod.name}/{app}", pod_store.find_app(pod, app)) for pod in pods]
    return [
        (f"{pod.pod.name}/{state.pod.name}" if pod.pod.apps else pod.pod.name, state)
        for pod in pods
        for state in pod_store.read_apps(pod)
    ] + [(pod.pod.name, pod) for pod in pods if processes.has_machine(pod.pod)]


def _measure(
    apps: Sequence[tuple[str, PodState]], previous: dict[str, Usage]
) -> tuple[list[PodStats], dict[str, Usage]]:
    """Return what apps use now; those that have ended are left out."""
    from pumice.runtime.pods import pod_store, usage

    stats, current = [], {}
    for name, state in apps:
        present = pod_store.read_pod(state.directory)
        try:
            if present is not None:
                current[name] = usage.measure(present)
                stats.append(_describe(state.pod.id, name, current[name], previous.get(name)))
        except PodError:
            continue
    return stats, current


def _describe(pod_id: str, name: str, now: Usage, before: Usage | None) -> PodStats:
    average = 100 * now.cpu_seconds / now.age if now.age > 0 else 0.0
    elapsed = now.clock - before.clock if before else 0.0
    present = (
        100 * max(0.0, now.cpu_seconds - before.cpu_seconds) / elapsed if before and elapsed else average
    )
    return PodStats(
        id=pod_id,
        name=name,
        cpu_percent=round(present, 2),
        average_cpu_percent=round(average, 2),
        cpu_seconds=round(now.cpu_seconds, 3),
        memory=now.memory,
        memory_limit=now.memory_limit,
        memory_percent=round(100 * now.memory / now.memory_limit, 2),
        network_received=now.network_received,
        network_sent=now.network_sent,
        block_read=now.block_read,
        block_written=now.block_written,
        pids=now.pids,
    )


def _write(stats: Sequence[PodStats], options: argparse.Namespace) -> None:
    if not (options.no_stream or options.no_reset or options.format.is_for_programs) and sys.stdout.isatty():
        print(_CLEAR, end="")
    results.write_result(stats, options.format, lambda: _table(stats, in_full=options.no_trunc))


def _table(stats: Sequence[PodStats], *, in_full: bool) -> str:
    heads = ("POD ID", "NAME", "CPU", "MEMORY", "LIMIT", "MEMORY %", "NET IO", "BLOCK IO", "PIDS", "CPU TIME")
    rows = [
        (
            pod.id if in_full else pod.id[: pod_views.SHORT_ID],
            pod.name,
            f"{pod.cpu_percent:.2f} %",
            output.format_size(pod.memory),
            output.format_size(pod.memory_limit),
            f"{pod.memory_percent:.2f} %",
            _pair(pod.network_received, pod.network_sent),
            _pair(pod.block_read, pod.block_written),
            str(pod.pids),
            f"{pod.cpu_seconds:.2f} s",
        )
        for pod in stats
    ]
    return output.format_table(heads, rows, right=(2, 3, 4, 5, 8, 9))


def _pair(first: int | None, second: int | None) -> str:
    if first is None or second is None:
        return "-"
    return f"{output.format_size(first)} / {output.format_size(second)}"
