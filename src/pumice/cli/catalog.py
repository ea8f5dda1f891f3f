"""``pumice catalog``: list the repositories of a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import output, progress_modes, results
from pumice.cli.image_access import registries
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.cli.parsing.arguments import Parser


class CatalogEntry(msgspec.Struct, frozen=True):
    """A repository of a registry; ``reference`` is its name with the host."""

    name: str
    reference: str


def parser() -> Parser:
    """Return the parser of the command."""
    verb_parser = command_line.make_parser(
        "catalog",
        "List the repositories of a registry, one per line.",
        progress=False,
        epilog="Not every registry allows this: Docker Hub, for example, does not.",
        examples=("pumice catalog registry.example",),
    )
    verb_parser.add_argument("host", metavar="HOST", help="registry, such as registry.example.com:5000")
    verb_parser.add_argument(
        "--full-ref", action="store_true", help="print HOST/NAME, which can be used as a REPOSITORY"
    )
    results.add_format_options(verb_parser, "catalog", example="Name")
    registries.options(verb_parser)
    return verb_parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.image.transports import references

    host = references.parse_registry_host(options.host)
    with registries.client(options, progress_modes.make_progress("none")) as client:
        names = client.list_repositories(host)
    entries = [CatalogEntry(name, f"{host}/{name}") for name in names]
    results.write_result(
        entries,
        options.format,
        lambda: [
            output.printable_line(entry.reference if options.full_ref else entry.name) for entry in entries
        ],
    )
    return 0
