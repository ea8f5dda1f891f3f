"""``pumice trust remove``: remove the rules of a key."""

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
        "remove",
        run,
        "remove a key's rules, at one prefix or everywhere, or an unsigned image that you accepted",
        examples=(
            "pumice trust remove 5e5ba22c",
            "pumice trust remove 5e5ba22c --prefix example.com/apps",
        ),
    )
    action.add_argument(
        "rule", metavar="FINGERPRINT", help="fingerprint of the key or digest of the image, or its beginning"
    )
    rule_files.add_scope_options(action)
    rule_files.add_system_option(action)


def run(options: argparse.Namespace) -> int:
    """Remove the rules and print their paths."""
    from pumice.trust import policy_edit, unsigned_images

    accepted = unsigned_images.find_by_digits(options.rule, rule_files.policy_directories())
    if accepted is not None:
        print(output.printable(str(unsigned_images.forget(accepted))))
        return 0
    for rule in rule_files.matching_rules(options, options.rule):
        print(output.printable(str(policy_edit.remove_rule(rule_files.edited_directory(options), rule))))
    return 0
