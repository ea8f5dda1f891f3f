"""``pumice status``: show the state of pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.display import results
from pumice.cli.display.output import printable_line
from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments, pod_times, pod_views

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from pumice.cli.pods.pod_views import ListedPod


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice status``."""
    parser = command_line.make_parser(
        "status",
        "Show the state of pods: whether they run, how they ended, and their health.",
        progress=False,
        examples=("pumice status web", "pumice status --wait --format '{{.ExitCode}}' job"),
    )
    pod_arguments.add_pods(parser)
    parser.add_argument("--wait", action="store_true", help="wait until the pods have ended")
    results.add_format_options(parser, "status", default="text", example="State")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import pod_store, waiting

    states = pod_arguments.find_pods(options.pods)
    if options.wait:
        states = [waiting.wait_for_end(state) for state in states]
    else:
        states = [pod_store.read_pod(state.directory) or state for state in states]
    now = pod_times.current_time()
    pods = [pod_views.describe_pod(state, now) for state in states]
    results.write_result(pods, options.format, lambda: _lines(pods))
    return 0


def _lines(pods: Sequence[ListedPod]) -> Iterator[str]:
    for number, pod in enumerate(pods):
        if number:
            yield ""
        for label, value in _facts(pod):
            if value:
                yield f"{label + ':':<13}{printable_line(value)}"


def _facts(pod: ListedPod) -> Iterator[tuple[str, str | None]]:
    yield "pod", f"{pod.name} ({pod.id})"
    yield "image", f"{pod.image} ({pod_views.short_digest(pod)})"
    yield "command", " ".join(pod.command)
    yield "status", pod.status
    yield "error", pod.error
    yield "created", pod.created
    yield "started", pod.started
    yield "ended", pod.ended
    yield "process", str(pod.pid) if pod.pid else None
    yield "labels", ", ".join(f"{name}={value}" for name, value in sorted(pod.labels.items()))
    for app in pod.apps:
        after = f", after {', '.join(app.after)}" if app.after and app.state == "starting" else ""
        health = f", {app.health}" if app.health and app.health not in app.status else ""
        error = f": {app.error}" if app.error else ""
        yield f"app {app.name}", f"{app.status}{health}{after}{error}"
    if pod.health:
        yield "health", f"{pod.health}, {pod.health_failures} failures in a row"
        yield "health check", pod.health_output
