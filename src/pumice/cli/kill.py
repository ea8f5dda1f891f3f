"""``pumice kill``: send a signal to the programs of pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice kill``."""
    parser = command_line.make_parser(
        "kill",
        "Send a signal to the programs of running pods.",
        progress=False,
        examples=("pumice kill web", "pumice kill --signal HUP web"),
    )
    pod_arguments.add_pods(parser)
    pod_arguments.add_app(parser)
    parser.add_argument(
        "-s",
        "--signal",
        default="KILL",
        metavar="SIGNAL",
        help="name or number of the signal (default: KILL)",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the names of the pods."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import pausing, processes

    number = processes.parse_signal(options.signal)
    states = pod_arguments.find_apps(options)
    for state in states:
        processes.require_running(state)
    for state in states:
        pausing.send_signal(state, number)
        print(state.pod.name)
    return 0
