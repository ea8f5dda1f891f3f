"""``pumice rename``: give a pod another name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments, pod_views

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice rename``."""
    parser = command_line.make_parser(
        "rename",
        "Give a pod another name.",
        progress=False,
        epilog="The host name of the pod, and the name that other pods see, do not change.",
        examples=("pumice rename web old-web",),
    )
    pod_arguments.add_pod(parser)
    parser.add_argument("name", metavar="NAME", help="new name")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import pod_store

    with pod_views.open_home() as home:
        pod_store.rename_pod(home, pod_store.find_pod(home, options.pod), options.name)
    return 0
