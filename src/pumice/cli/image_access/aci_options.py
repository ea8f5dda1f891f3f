"""Options and output that the actions of ``pumice aci`` share."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pumice.cli.display import output
from pumice.errors import ImageError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from pumice.appc.streams import Compression
    from pumice.cli.parsing.arguments import OptionGroup

COMPRESSIONS: tuple[Compression, ...] = ("gzip", "xz", "none", "zstd")


def add_non_standard_option(parser: OptionGroup) -> None:
    """Add ``--non-standard``."""
    parser.add_argument(
        "--non-standard",
        action="store_true",
        help="allow zstd, which App Container does not have",
    )


def add_compression_options(parser: OptionGroup) -> None:
    """Add ``--compression`` and ``--non-standard``."""
    parser.add_argument(
        "--compression",
        choices=COMPRESSIONS,
        default="gzip",
        metavar="FORMAT",
        help="gzip, xz, none or, with --non-standard, zstd (default: gzip)",
    )
    add_non_standard_option(parser)


def check_compression(options: argparse.Namespace) -> Compression:
    """Return the value of ``--compression``; raises UsageError for zstd without ``--non-standard``."""
    compression: Compression = options.compression
    if compression == "zstd" and not options.non_standard:
        raise UsageError(
            "App Container does not have zstd", hint="pass --non-standard to use it, or --compression xz"
        )
    return compression


def check_free(path: str, *, overwrite: bool) -> None:
    """Raise ImageError if a file exists and must not be overwritten."""
    if path != "-" and os.path.lexists(path) and not overwrite:
        raise ImageError("the file exists", where=path[:200], hint="pass --overwrite to replace it")


def print_warnings(where: str, warnings: Iterable[str]) -> None:
    """Print warnings about an image."""
    prefix = f"{where}: " if where else ""
    for warning in warnings:
        print(output.printable(f"warning: {prefix}{warning}"), file=sys.stderr)
