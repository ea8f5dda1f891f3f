"""``pumice wait``: wait until pods have ended, and print their exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice wait``."""
    parser = command_line.make_parser(
        "wait",
        "Wait until pods have ended, and print the exit code of each.",
        progress=False,
        examples=("pumice wait job",),
    )
    pod_arguments.add_pods(parser)
    pod_arguments.add_app(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import waiting

    for state in pod_arguments.find_apps(options):
        ended = waiting.wait_for_end(state).ended
        print(ended.exit_code if ended else 0, flush=True)
    return 0
