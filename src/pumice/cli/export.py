"""``pumice export``: write the root file system of an image as a tar file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, reading, registries
from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.cli.arguments import Parser

_EPILOG = f"""{reading.REFERENCES}
The file is the same as that of 'pumice copy REF tar:FILE': without whiteouts, and equal for equal images."""


def parser() -> Parser:
    """Return the parser of the command."""
    verb_parser = command_line.make_parser(
        "export",
        "Write the root file system of an image as a tar file.",
        epilog=_EPILOG,
        examples=("pumice export example.com/hello:1.0 > hello.tar",),
    )
    verb_parser.add_argument("reference", metavar="REF", help="image to read")
    verb_parser.add_argument("file", metavar="FILE", nargs="?", help="same as --output")
    verb_parser.add_argument(
        "-o", "--output", metavar="FILE", help="file to write; - is standard output (default: -)"
    )
    reading.platform_option(verb_parser)
    registries.options(verb_parser)
    return verb_parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    if options.file and options.output:
        raise UsageError("the output file is given twice", hint="pass FILE or --output FILE")
    from pumice.image.output import Output
    from pumice.image.rootfs import write_tar

    progress = output.make_progress(options.progress)
    with (
        reading.open_platform(options, progress) as (image, _),
        Output(options.output or options.file or "-", sys.stdout.buffer) as file,
    ):
        write_tar(image, file, progress=progress)
    return 0
