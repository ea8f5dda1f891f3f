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
    made = command_line.parser(
        "logout",
        "Forget the login for a registry, wherever it is kept.",
        progress=False,
        epilog="All files that logins are read from are looked at, and the helpers that they name.",
    )
    made.add_argument("place", metavar="HOST[/PATH]", help="as it was given to login")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = _parser().parse_args(arguments)
    from pumice.errors import PumiceError
    from pumice.registry import login_store

    gone = login_store.delete_login(login_store.parse_login_target(asked.place), os.environ)
    if not gone:
        raise PumiceError(f"there is no login for {asked.place[:200]}", hint="nothing was changed")
    for where in gone:
        print(f"the login for {asked.place} is gone from {where}", file=sys.stderr)
    return 0
