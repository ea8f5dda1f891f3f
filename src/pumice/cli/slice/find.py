"""``pumice slice find``: find slices by their names."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli.display import output, results
from pumice.cli.parsing import arguments as command_line
from pumice.cli.recipes import slice_releases
from pumice.cli.slice.list import write_slices

if TYPE_CHECKING:
    import argparse

_EPILOG = """A query is the name of a package, _SLICE, or PACKAGE_SLICE. It may contain * and ?, and one
character may be wrong. A slice is printed if it matches all queries. The exit code is 1 if there is none."""


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice slice``."""
    action = command_line.add_action(
        parser,
        "find",
        run,
        "find slices by their names",
        epilog=_EPILOG,
        examples=("pumice slice find openssl", "pumice slice find 'lib*' _libs"),
    )
    action.add_argument("queries", metavar="QUERY", nargs="+", help="name or pattern to find")
    slice_releases.add_release_options(action)
    results.add_format_options(action, "slice find", example="Slice")


def run(options: argparse.Namespace) -> int:
    """Print the slices that match."""
    from pumice.slices.search import find_slices

    with slice_releases.open_home() as home:
        release = slice_releases.load(options, home)
    slices = find_slices(release, options.queries)
    write_slices(slices, options.format)
    if not slices:
        terms = " ".join(repr(query[:100]) for query in options.queries[:10])
        print(output.printable_line(f"no slice matches {terms}"), file=sys.stderr)
    return 0 if slices else 1
