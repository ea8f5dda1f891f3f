"""``pumice exec``: run another program in a running pod."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import pod_views

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
    parser.add_argument("pod", metavar="POD", help="name of a pod, its id or the beginning of its id")
    parser.add_argument("program", metavar="PROGRAM", help="program in the image")
    program_arguments = parser.add_argument(
        "arguments", metavar="ARG", nargs=argparse.REMAINDER, help="arguments of the program"
    )
    program_arguments.required = False  # argparse always requires a REMAINDER argument
    parser.add_argument(
        "-u", "--user", metavar="USER[:GROUP]", help="run as this user and group, by name or id"
    )
    parser.add_argument(
        "-e",
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set an environment variable; NAME alone copies its current value (repeatable)",
    )
    parser.add_argument("-w", "--workdir", metavar="DIR", help="working directory inside the image")
    for names in (("-i", "--interactive"), ("-t", "--tty")):
        parser.add_argument(*names, action="store_true", help=argparse.SUPPRESS)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the program; return its exit code."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import execute, pod_store

    with pod_views.open_home() as home:
        state = pod_store.find_pod(home, options.pod)
        home.close()
        request = execute.ExecRequest(
            arguments=(options.program, *options.arguments),
            user=options.user,
            directory=options.workdir,
            environment=tuple(options.env),
        )
        return execute.execute_in_pod(state, request)
