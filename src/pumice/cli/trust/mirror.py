"""``pumice trust mirror``: declare a mirror."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.display import output
from pumice.cli.parsing import arguments as command_line
from pumice.cli.trust import rule_files

if TYPE_CHECKING:
    import argparse


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice trust``."""
    action = command_line.add_action(
        parser,
        "mirror",
        run,
        "accept the images of a mirror under their original names",
        examples=("pumice trust mirror mirror.example/apps example.com/apps",),
    )
    action.add_argument("prefix", metavar="PREFIX", help="names of the mirror: images named PREFIX/…")
    action.add_argument("name", metavar="NAME", help="original name: the images are signed as NAME/…")
    rule_files.add_system_option(action)


def run(options: argparse.Namespace) -> int:
    """Write the mirror rule and print its path."""
    from pumice.trust import policy_edit

    print(
        output.printable(
            str(policy_edit.set_mirror(rule_files.edited_directory(options), options.prefix, options.name))
        )
    )
    return 0
