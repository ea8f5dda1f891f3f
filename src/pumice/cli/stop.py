"""``pumice stop``: ask the programs of pods to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import numbers
from pumice.cli.pods import pod_arguments

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
    pod_arguments.add_pods(parser)
    pod_arguments.add_app(parser)
    parser.add_argument(
        "-t",
        "--time",
        type=numbers.whole_number(1_000_000),
        default=10,
        metavar="SECONDS",
        help="kill programs that have not ended after SECONDS seconds (default: 10)",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the names of the pods."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import removal

    for state in pod_arguments.find_apps(options):
        removal.stop_pod(state, options.time)
        print(state.pod.name)
    return 0
