"""``pumice tags``: list the tags of a repository."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, registries

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice tags``."""
    parser = command_line.make_parser(
        "tags",
        "List the tags of a repository, one per line.",
        progress=False,
        epilog="Tags for signatures and other referrers of an image (sha256-…) are only listed with --all.",
    )
    parser.add_argument("repository", metavar="REPOSITORY", help="[docker://]HOST/NAME")
    parser.add_argument("--all", action="store_true", help="also list tags for referrers of other images")
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.image.transports import references
    from pumice.registry.reference import is_attachment_tag

    repository = references.parse_registry_repository(options.repository)
    with registries.client(options, output.make_progress("none")) as client:
        tags = client.list_tags(repository)
    shown_tags = (tag for tag in tags if options.all or not is_attachment_tag(tag))
    sys.stdout.write("".join(f"{output.printable(tag)}\n" for tag in shown_tags))
    return 0
