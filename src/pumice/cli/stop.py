"""``pumice stop``: ask the programs of pods to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import pod_views

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice stop``."""
    parser = command_line.make_parser(
        "stop",
        "Stop running pods: send the stop signal of the image (default: TERM), and KILL some seconds later.",
        progress=False,
        examples=("pumice stop web", "pumice stop --time 60 db"),
    )
    pod_views.add_pod_arguments(parser)
    parser.add_argument(
        "-t",
        "--time",
        type=_seconds,
        default=10,
        metavar="SECONDS",
        help="how long a program may take before it is killed (default: 10)",
    )
    return parser


def _seconds(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 1_000_000:
        raise ValueError(text)
    return number


_seconds.__name__ = "number"  # argparse prints the name in errors


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the names of the pods."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import removal

    with pod_views.open_home() as home:
        states = pod_views.find_named_pods(home, options.pods)
        home.close()
        for state in states:
            removal.stop_pod(state, options.time)
            print(state.pod.name)
    return 0
