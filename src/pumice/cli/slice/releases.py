"""The options that name a release of slices, and its loading."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from pumice.cli.arguments import OptionGroup
    from pumice.slices.model import Release
    from pumice.store.home import Home

DEFAULT = "bookworm"


def add_release_options(parser: OptionGroup) -> None:
    """Add ``--release`` and ``--overlay``."""
    parser.add_argument(
        "--release",
        metavar="DIR|NAME",
        default=DEFAULT,
        help=f"directory or tar archive of the release, or one that comes with Pumice (default: {DEFAULT})",
    )
    parser.add_argument(
        "--overlay",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="directory of definitions that replace those of the release; can be repeated",
    )


def load(options: argparse.Namespace, home: Home, *, check_all: bool = True) -> Release:
    """Return the release that the options name; raises SliceError with all its problems."""
    from pumice.slices.release import load_release
    from pumice.slices.releases import find_release

    location = find_release(options.release, Path())
    return load_release(location, options.overlay, home, check_all=check_all)


def open_home() -> Home:
    """Return the store, where releases are remembered."""
    from pumice.store.home import Home, locate

    return Home(locate(os.environ))
