"""``pumice run-prepared``: start a pod that was prepared."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments, pod_views

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice run-prepared``."""
    parser = command_line.make_parser(
        "run-prepared",
        "Start a pod that 'pumice prepare' prepared, in the foreground.",
        progress=False,
        epilog="""The exit code is that of the program, as with 'pumice run'. The image is verified again. A
prepared pod is started once; if it cannot be started, it stays prepared if nothing of it has run.""",
        examples=("pumice run-prepared web", "pumice run-prepared --detach web"),
    )
    pod_arguments.add_pod(parser)
    parser.add_argument(
        "-d", "--detach", action="store_true", help="run the pod in the background, and print its id"
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the program; return its exit code."""
    options = parser().parse_args(arguments)
    from pumice.cli import run
    from pumice.errors import PodError
    from pumice.runtime.pods import preparation

    with pod_views.open_home() as home:
        pod = preparation.find_prepared(home, options.pod).state.pod
    try:
        os.chdir(pod.run_directory)
    except OSError as error:
        raise PodError(
            f"cannot enter the directory where the pod was prepared: {(error.strerror or '').lower()}",
            where=pod.run_directory,
            hint="create it, or prepare the pod again",
        ) from None
    detach = ("--detach",) if options.detach else ()
    return run.main([*detach, "--prepared", pod.id, *pod.run_options, *pod.run_arguments])
