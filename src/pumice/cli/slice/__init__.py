"""``pumice slice``: list, show and check the slices of packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.slice import check, diff, draft, find, info, missing
from pumice.cli.slice import list as list_slices

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = """A release is a directory with chisel.yaml and slices/*.yaml, in the formats v1 to v3 of
Chisel, or a tar archive of one. Without --release, the slices for Debian that come with Pumice are used."""


def parser() -> command_line.Parser:
    """Return the parser of ``pumice slice``."""
    return command_line.make_action_parser(
        "slice",
        "List, show, check, compare and draft the slices of packages.",
        (list_slices, info, find, check, missing, diff, draft),
        epilog=_EPILOG,
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return command_line.run_action(parser(), arguments)
