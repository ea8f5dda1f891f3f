"""``pumice export``: write the root file system of an image or a running pod as a tar file."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.image_access import reading, registries
from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments
from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.cli.parsing.arguments import Parser
    from pumice.runtime.pods.pod_store import PodState

_EPILOG = f"""{reading.REFERENCES}
The file is the same as that of 'pumice copy REF tar:FILE': without whiteouts, and equal for equal images.
A running pod is exported with the changes that its programs made, without volumes and other mounts."""


def parser() -> Parser:
    """Return the parser of the command."""
    verb_parser = command_line.make_parser(
        "export",
        "Write the root file system of an image or a running pod as a tar file.",
        epilog=_EPILOG,
        examples=("pumice export example.com/hello:1.0 > hello.tar", "pumice export -o web.tar web"),
    )
    verb_parser.add_argument("reference", metavar="REF", help="image to read, or the name or id of a pod")
    verb_parser.add_argument("file", metavar="FILE", nargs="?", help="same as --output")
    verb_parser.add_argument(
        "-o", "--output", metavar="FILE", help="file to write; - is standard output (default: -)"
    )
    pod_arguments.add_app(verb_parser, only_one=True)
    reading.platform_option(verb_parser)
    registries.options(verb_parser)
    return verb_parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    if options.file and options.output:
        raise UsageError("the output file is given twice", hint="pass FILE or --output FILE")
    from pumice.image.output import Output, check_file
    from pumice.image.rootfs import write_tar

    target = options.output or options.file or "-"
    check_file(target)
    if state := _find_pod(options.reference):
        from pumice.runtime.pods import pod_store
        from pumice.runtime.pods.copying.copy import export_root

        state = pod_store.find_app(state, options.app)
        with Output(target, sys.stdout.buffer) as file:
            file.file.flush()
            export_root(state, os.dup(file.file.fileno()))
        return 0
    progress = progress_modes.make_progress(options.progress)
    with (
        reading.open_platform(options, progress) as (image, _),
        Output(target, sys.stdout.buffer) as file,
    ):
        write_tar(image, file, progress=progress)
    return 0


def _find_pod(text: str) -> PodState | None:
    """Return the pod that the argument names, None if it is an image."""
    from pumice.cli.pods import pod_views
    from pumice.cli.pods.pod_or_image import find_pod_or_image

    if ":" in text or "/" in text:  # no pod has such a name
        return None
    with pod_views.open_home() as home:
        return find_pod_or_image(text, home.refs.names(), home)
