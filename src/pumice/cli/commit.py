"""``pumice commit``: make an image of a running pod."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments, pod_views

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = """The image has the layers of the pod's image, and one with what its programs changed. Volumes and
other mounts are not part of it. It has no SBOM and no signature: build images that you ship from recipes."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice commit``."""
    parser = command_line.make_parser(
        "commit",
        "Create an image from a running pod, and print its digest.",
        progress=False,
        epilog=_EPILOG,
        examples=("pumice commit web example.com/debug:1", "pumice commit -c 'USER web' web debug:2"),
    )
    pod_arguments.add_pod(parser)
    pod_arguments.add_app(parser, only_one=True)
    parser.add_argument("name", metavar="NAME[:VERSION]", help="name of the image (default version: latest)")
    parser.add_argument("-a", "--author", default="", metavar="NAME", help="record the author of the image")
    parser.add_argument("-m", "--message", default="", metavar="TEXT", help="record a comment in the history")
    parser.add_argument(
        "-c",
        "--change",
        action="append",
        default=[],
        metavar="INSTRUCTION",
        help="change the config by an instruction of a Containerfile: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL,"
        " STOPSIGNAL, USER, VOLUME or WORKDIR (repeatable)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.assembly.context import read_source_date_epoch
    from pumice.clock import SystemClock
    from pumice.formats.oci import RunConfig
    from pumice.image.transports import references
    from pumice.image.transports.store import check_name
    from pumice.runtime.pods import commit, pod_store
    from pumice.runtime.pods.config_changes import apply_changes

    name = references.parse_stored_name(options.name)
    name = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
    check_name(name, options.name)
    apply_changes(RunConfig(), options.change)  # a mistake is reported before anything is read
    epoch = read_source_date_epoch(os.environ)
    request = commit.CommitRequest(
        name=name,
        created=SystemClock().now() if epoch is None else epoch,
        author=options.author,
        message=options.message,
        change=lambda config: apply_changes(config, options.change),
    )
    with pod_views.open_home() as home:
        state = pod_store.find_app(pod_store.find_pod(home, options.pod), options.app)
        print(commit.commit_pod(state, request, home))
    return 0
