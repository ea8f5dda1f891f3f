"""``pumice pause``: freeze the programs of pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """Processes keep their memory, files and connections, and do not notice the pause. This needs a
control group that can be frozen: root always has one, other users have one in a delegated control group."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice pause``."""
    parser = command_line.make_parser(
        "pause",
        "Freeze all processes of running pods, until 'pumice unpause' resumes them.",
        progress=False,
        epilog=_EPILOG,
        examples=("pumice pause web", "pumice pause --app db shop", "pumice pause --all"),
    )
    pod_arguments.add_pods_or_all(parser, "pause all running pods")
    pod_arguments.add_app(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the names of the pods."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import pausing, pod_store

    states = pod_arguments.find_apps_or_all(options, pod_store.RUNNING)
    for state in states:
        pausing.require_pausable(state)
    for state in states:
        try:
            pausing.pause_pod(state)
        except pausing.EndedPodError:
            if options.all:  # all that run now are meant
                continue
            raise
        print(state.pod.name)
    return 0
