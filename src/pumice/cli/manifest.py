"""``pumice manifest``: print the manifest or index of an image as it is stored."""

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
        "manifest",
        "Print the manifest of an image, or the index of a multi-platform image, byte for byte.",
        progress=False,
        epilog=reading.REFERENCES,
        examples=("pumice manifest example.com/hello:1.0 --platform linux/arm64",),
    )
    verb_parser.add_argument("reference", metavar="REF", help="image to read")
    verb_parser.add_argument(
        "--platform",
        metavar="PLATFORM",
        help="print the manifest for this platform, such as linux/arm64 (default: the index)",
    )
    registries.options(verb_parser)
    return verb_parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.formats import platforms

    platform = platforms.parse_platform(options.platform) if options.platform else None
    with reading.open_image(options) as (image, _):
        chosen_image = image.select(platform) if platform else image
        sys.stdout.buffer.write(chosen_image.document(chosen_image.root))
    return 0
