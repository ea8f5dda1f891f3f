"""``pumice tags``: list the tags of a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import output, progress_modes, results
from pumice.cli.image_access import registries
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


class TagEntry(msgspec.Struct, frozen=True):
    """A tag of a repository; ``reference`` is the tag with its registry and repository."""

    name: str
    reference: str


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice tags``."""
    parser = command_line.make_parser(
        "tags",
        "List the tags of a repository, one per line.",
        progress=False,
        epilog="Tags for signatures and other referrers of an image (sha256-…) are only listed with --all.",
        examples=("pumice tags registry.example/team/hello",),
    )
    parser.add_argument("repository", metavar="REPOSITORY", help="[docker://]HOST/NAME")
    parser.add_argument("--all", action="store_true", help="also list tags for referrers of other images")
    results.add_format_options(parser, "tags", example="Name")
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.image.transports import references
    from pumice.registry.reference import is_attachment_tag

    repository = references.parse_registry_repository(options.repository)
    with registries.client(options, progress_modes.make_progress("none")) as client:
        tags = client.list_tags(repository)
    entries = [
        TagEntry(tag, f"{repository}:{tag}") for tag in tags if options.all or not is_attachment_tag(tag)
    ]
    results.write_result(
        entries, options.format, lambda: [output.printable_line(entry.name) for entry in entries]
    )
    return 0
