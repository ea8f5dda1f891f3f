"""``pumice trust rotate``: replace a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.display import output
from pumice.cli.parsing import arguments as command_line
from pumice.cli.trust import new_key, rule_files
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse

_DAY = 86_400
_MAX_OVERLAP = 36_500


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice trust``."""
    action = command_line.add_action(
        parser,
        "rotate",
        run,
        "replace a key; the old one stays trusted for some days",
        examples=("pumice trust rotate 5e5ba22c new.pub --overlap 14",),
    )
    action.add_argument(
        "rule", metavar="OLD-FINGERPRINT", help="fingerprint of the old key, or its beginning"
    )
    action.add_argument(
        "key", metavar="NEW-KEY", help="public key: a file, a name from 'pumice key list', or a URL"
    )
    action.add_argument(
        "--overlap", type=int, default=30, metavar="DAYS", help="trust both keys for DAYS days (default: 30)"
    )
    rule_files.add_scope_options(action)
    new_key.add_options(action)
    rule_files.add_system_option(action)


def run(options: argparse.Namespace) -> int:
    """Write the rules of the new key and print their paths."""
    from pumice.clock import SystemClock
    from pumice.trust import policy_edit

    rules = rule_files.matching_rules(options, options.rule)
    if not 0 <= options.overlap <= _MAX_OVERLAP:
        raise UsageError(f"invalid overlap of {options.overlap} days", hint=f"use 0 to {_MAX_OVERLAP}")
    prefixes = ", ".join(rule.prefix or "all names" for rule in rules)
    key, _ = new_key.read_confirmed_key(options, options.key, prefixes)
    until = SystemClock().now()
    if options.overlap:  # whole days; the rest of today is not one
        until += options.overlap * _DAY + -until % _DAY
    for path in policy_edit.rotate_key(rule_files.edited_directory(options), rules, key, until=until):
        print(output.printable(str(path)))
    return 0
