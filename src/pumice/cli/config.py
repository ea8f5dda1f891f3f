"""``pumice config``: print the config of an image as it is stored."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli.image_access import reading, registries
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.cli.parsing.arguments import Parser


def parser() -> Parser:
    """Return the parser of the command."""
    verb_parser = command_line.make_parser(
        "config",
        "Print the config of an image, which is JSON, byte for byte.",
        progress=False,
        epilog=reading.REFERENCES,
        examples=("pumice config example.com/hello:1.0",),
    )
    verb_parser.add_argument("reference", metavar="REF", help="image to read")
    reading.platform_option(verb_parser)
    registries.options(verb_parser)
    return verb_parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)

    with reading.open_platform(options) as (image, _):
        sys.stdout.buffer.write(image.document(image.manifest().config))
    return 0
