"""``pumice slice list``: list the slices of a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import output, results
from pumice.cli.parsing import arguments as command_line
from pumice.cli.recipes import slice_releases

if TYPE_CHECKING:
    import argparse

    from pumice.slices.model import Slice


class ListedSlice(msgspec.Struct, frozen=True, kw_only=True):
    """A slice: its name with that of the package, its hint, its paths, and the slices that it requires."""

    slice: str
    package: str
    hint: str
    paths: tuple[str, ...]
    essential: tuple[str, ...]


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice slice``."""
    action = command_line.add_action(
        parser,
        "list",
        run,
        "list the slices of packages",
        examples=("pumice slice list", "pumice slice list openssl --release ./chisel-releases"),
    )
    action.add_argument("packages", metavar="PKG", nargs="*", help="only the slices of these packages")
    slice_releases.add_release_options(action)
    results.add_format_options(action, "slice list", example="Slice")


def run(options: argparse.Namespace) -> int:
    """Print the slices."""
    from pumice.errors import UsageError

    with slice_releases.open_home() as home:
        release = slice_releases.load(options, home)
    for name in options.packages:
        if name not in release.packages:
            raise UsageError(f"the release has no slices of {name[:100]!r}", hint="try 'pumice slice find'")
    slices = [
        item for item in release.all_slices() if not options.packages or item.package in options.packages
    ]
    write_slices(slices, options.format)
    return 0


def write_slices(slices: list[Slice], result_format: results.ResultFormat) -> None:
    """Write slices in the format that was chosen."""
    listed = [
        ListedSlice(
            slice=item.full_name,
            package=item.package,
            hint=item.hint,
            paths=tuple(rule.path for rule in item.contents),
            essential=tuple(essential.name for essential in item.essential),
        )
        for item in slices
    ]
    rows = [(item.slice, str(len(item.paths)), item.hint) for item in listed]
    results.write_result(
        listed, result_format, lambda: output.format_table(("slice", "paths", "hint"), rows) if rows else ""
    )
