"""``pumice unpause``: resume the programs of paused pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice unpause``."""
    parser = command_line.make_parser(
        "unpause",
        "Resume all processes of paused pods.",
        progress=False,
        examples=("pumice unpause web", "pumice unpause --app db shop", "pumice unpause --all"),
    )
    pod_arguments.add_pods_or_all(parser, "resume all paused pods")
    pod_arguments.add_app(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the names of the pods."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import pausing, pod_store

    states = pod_arguments.find_apps_or_all(options, pod_store.PAUSED)
    for state in states:
        pausing.require_paused(state)
    for state in states:
        pausing.unpause_pod(state)
        print(state.pod.name)
    return 0
