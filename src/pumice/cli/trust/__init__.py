"""``pumice trust``: manage the policy that says which images may be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.trust import add, export, mirror, remove, revoke, rotate, why
from pumice.cli.trust import list as list_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = """Rules are plain files in /usr/lib/pumice/trust, /etc/pumice/trust and your own
directory; later directories override earlier ones. Images that were built here need no rule."""


def parser() -> command_line.Parser:
    """Return the parser of ``pumice trust``."""
    return command_line.make_action_parser(
        "trust",
        "Manage which keys are trusted to sign which images.",
        (add, list_rules, remove, rotate, revoke, mirror, why, export),
        epilog=_EPILOG,
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return command_line.run_action(parser(), arguments)
