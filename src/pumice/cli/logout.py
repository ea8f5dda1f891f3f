"""``pumice logout``: forget a login."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser(
        "logout",
        "Forget the login for a registry, wherever it is kept.",
        progress=False,
        epilog="All files that logins are read from are looked at, and the helpers that they name.",
    )
    parser.add_argument("place", metavar="HOST[/PATH]", help="as it was given to login")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = _parser().parse_args(arguments)
    from pumice.errors import PumiceError
    from pumice.registry import login_store

    removed_from = login_store.delete_login(login_store.parse_login_target(options.place), os.environ)
    if not removed_from:
        raise PumiceError(f"there is no login for {options.place[:200]}", hint="nothing was changed")
    for location in removed_from:
        print(f"the login for {options.place} is gone from {location}", file=sys.stderr)
    return 0
