"""``pumice logout``: delete a login."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli.image_access import registries
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice logout``."""
    parser = command_line.make_parser(
        "logout",
        "Log out of a registry.",
        progress=False,
        epilog="Deletes it from every authentication file, and from the credential helpers that they name.",
        examples=("pumice logout registry.example",),
    )
    parser.add_argument("place", metavar="HOST[/PATH]", help="the registry or prefix given to pumice login")
    parser.add_argument("--authfile", metavar="FILE", help="delete the login in FILE only")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.errors import PumiceError
    from pumice.image.transports import references
    from pumice.registry import login_store

    removed_from = login_store.delete_login(
        references.parse_login_target(options.place), registries.auth_environment(options)
    )
    if not removed_from:
        hint = "'pumice login' says which file a login is saved in; pass another one with --authfile"
        raise PumiceError(f"not logged in to {options.place[:200]}", hint=hint)
    for location in removed_from:
        print(f"deleted the login for {options.place} from {location}", file=sys.stderr)
    return 0
