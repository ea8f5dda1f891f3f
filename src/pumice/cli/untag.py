"""``pumice untag``: remove names of an image in the store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli.display import output
from pumice.cli.parsing import arguments as command_line
from pumice.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.cli.parsing.arguments import Parser

_EPILOG = """Without NAME, all names of the image are removed, as with podman. The image stays as a cache,
which 'pumice gc' deletes some days later."""


def parser() -> Parser:
    """Return the parser of the command."""
    verb_parser = command_line.make_parser(
        "untag",
        "Remove names of an image in the store; prints them.",
        progress=False,
        epilog=_EPILOG,
        examples=("pumice untag example.com/hello:latest",),
    )
    verb_parser.add_argument("reference", metavar="REF", help="image: one of its names, or its digest")
    verb_parser.add_argument("names", metavar="NAME", nargs="*", help="name:version to remove")
    return verb_parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the removed names."""
    options = parser().parse_args(arguments)
    from pumice.image.transports.references import parse_stored_name
    from pumice.image.transports.store import find_image
    from pumice.store.home import Home, locate

    with Home(locate(os.environ)) as home:
        root = find_image(parse_stored_name(options.reference), home).root
        image_names = [name for name, other in home.refs.all().items() if other.digest == root.digest]
        names = [
            f"{name}:latest" if f"{name}:latest" in image_names else name
            for name in options.names or image_names
        ]
        for name in names:
            if name not in image_names:
                raise ImageError(
                    f"{name[:200]!r} is not a name of {options.reference[:200]!r}",
                    hint=f"its names are {', '.join(image_names[:10]) or 'none'}",
                )
        for name in dict.fromkeys(names):
            home.refs.remove(name)
            print(output.printable_line(name))
    return 0
