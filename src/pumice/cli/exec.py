"""``pumice exec``: run another program in a running pod."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice exec``."""
    parser = command_line.make_parser(
        "exec",
        "Run another program in a running pod, with the restrictions of the pod's own program.",
        progress=False,
        epilog="""The exit code is that of the program, 128+N if signal N ended it, 126 if it cannot be
executed and 127 if it does not exist. It ends with the pod.""",
        examples=("pumice exec -it web sh", "pumice exec --user root web cat /etc/hosts"),
    )
    pod_arguments.add_pod(parser)
    pod_arguments.add_app(parser, only_one=True)
    parser.add_argument("program", metavar="PROGRAM", help="program in the image")
    pod_arguments.add_program_arguments(parser, "arguments of the program")
    pod_arguments.add_program_options(parser)
    for names in (("-i", "--interactive"), ("-t", "--tty")):
        parser.add_argument(*names, action="store_true", help=argparse.SUPPRESS)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the program; return its exit code."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import execute

    state = pod_arguments.find_app(options)
    request = execute.ExecRequest(
        arguments=(options.program, *options.arguments),
        user=options.user,
        directory=options.workdir,
        environment=tuple(options.env),
    )
    return execute.execute_in_pod(state, request)
