"""``pumice version``: print the version of Pumice, Python and the machine."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import results
from pumice.cli.parsing import arguments as command_line
from pumice.terminal import printable_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.cli.parsing.arguments import Parser


class VersionResult(msgspec.Struct, frozen=True):
    """The versions of a running Pumice, and the directory of its store."""

    version: str
    python: str
    platform: str
    """The OCI platform of this machine, such as ``linux/amd64``."""
    store: str
    """Empty without a home directory."""


def parser() -> Parser:
    """Return the parser of the command."""
    verb_parser = command_line.make_parser(
        "version",
        "Print the version of Pumice, of Python and of the machine, and the directory of the store.",
        progress=False,
        examples=("pumice version",),
    )
    results.add_format_options(verb_parser, "version", example="Version")
    return verb_parser


def _locate_store() -> str:
    from pumice.errors import StoreError
    from pumice.store.location import locate

    try:
        return str(locate(os.environ))
    except StoreError:
        return ""


def _format_lines(result: VersionResult) -> list[str]:
    return [
        f"pumice {result.version}",
        f"python {result.python}",
        f"platform {result.platform}",
        f"store {printable_line(result.store) or '(none)'}",
    ]


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.formats import platforms
    from pumice.version import __version__

    machine = platforms.from_machine(os.uname().machine)
    python = ".".join(map(str, sys.version_info[:3]))
    result = VersionResult(__version__, python, platforms.format_platform(machine), _locate_store())
    results.write_result(result, options.format, lambda: _format_lines(result))
    return 0
