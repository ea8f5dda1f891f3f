"""``pumice ps``: list pods."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pumice.cli.display import output, results
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.cli.pods import pod_times, pod_views
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.cli.pods.pod_views import ListedPod
    from pumice.runtime.pods.pod_store import PodState
    from pumice.store.home import Home

_WATCH_SECONDS = 1.0
_CLEAR = "\x1b[H\x1b[2J"


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice ps``."""
    parser = command_line.make_parser(
        "ps",
        "List the running pods.",
        progress=False,
        examples=("pumice ps --all", "pumice ps --filter label=app=web --format '{{.Name}}'"),
    )
    parser.add_argument("-a", "--all", action="store_true", help="also list pods that are not running")
    parser.add_argument("-l", "--latest", action="store_true", help="list only the newest pod, in any state")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only the ids")
    parser.add_argument("--no-trunc", action="store_true", help="print ids and commands in full")
    shared_options.add_filter_option(
        parser, _parse_filter, "list only pods with this name, id, status, label or ancestor (an image)"
    )
    parser.add_argument("--watch", action="store_true", help="list again every second until interrupted")
    results.add_format_options(parser, "ps", example="Name")
    return parser


def _parse_filter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or name not in ("name", "id", "status", "label", "ancestor"):
        raise UsageError(
            f"{text[:100]!r} is not a filter",
            hint="write name=, id=, status=, label= or ancestor= and a value",
        )
    return name, value


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    with pod_views.open_home() as home:
        home.directory("pods")
        home.close()  # what is listed may disappear at any time anyway
        while True:
            pods = _list_pods(options, home)
            if options.watch:
                print(_CLEAR, end="")
            _write(pods, options)
            if not options.watch:
                return 0
            print(end="", flush=True)
            time.sleep(_WATCH_SECONDS)


def _list_pods(options: argparse.Namespace, home: Home) -> list[ListedPod]:
    from pumice.runtime.pods import pod_store

    states = pod_store.list_pods(home)
    if options.latest:
        states = states[-1:]
    elif not options.all and not any(name == "status" for name, _ in options.filter):
        states = [state for state in states if state.has_program or state.state == pod_store.STARTING]
    now = pod_times.current_time()
    return [
        pod_views.describe_pod(state, now)
        for state in states
        if all(_matches(state, name, value) for name, value in options.filter)
    ]


def _matches(state: PodState, name: str, value: str) -> bool:
    pod = state.pod
    if name == "label":
        key, equals, text = value.partition("=")
        return key in pod.labels and (not equals or pod.labels[key] == text)
    if name == "ancestor":
        return value in (pod.image, pod.digest, pod.image.rpartition(":")[0])
    return {
        "name": value in pod.name,
        "id": pod.id.startswith(value),
        "status": value == state.state,
    }[name]


def _write(pods: Sequence[ListedPod], options: argparse.Namespace) -> None:
    if options.quiet:
        for pod in pods:
            print(pod.id if options.no_trunc else pod.id[: pod_views.SHORT_ID])
        return
    results.write_result(pods, options.format, lambda: _table(pods, in_full=options.no_trunc))


def _table(pods: Sequence[ListedPod], *, in_full: bool) -> str:
    now = pod_times.current_time()
    heads = ("POD ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAME")
    rows = [
        (
            pod.id if in_full else pod.id[: pod_views.SHORT_ID],
            pod.image + (f" (+{len(pod.apps) - 1})" if pod.apps else ""),
            _shorten(" ".join(pod.command), in_full=in_full),
            f"{pod_times.format_age(pod.created, now)} ago",
            pod.status,
            pod.name,
        )
        for pod in pods
    ]
    return output.format_table(heads, rows)


def _shorten(command: str, *, in_full: bool) -> str:
    return command if in_full or len(command) <= 24 else f"{command[:21]}..."
