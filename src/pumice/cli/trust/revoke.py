"""``pumice trust revoke``: reject a key."""

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
        "revoke",
        run,
        "reject a key everywhere, regardless of the rules",
        examples=("pumice trust revoke 5e5ba22c --reason 'laptop stolen'",),
    )
    action.add_argument("rule", metavar="FINGERPRINT", help="fingerprint of the key, or its beginning")
    action.add_argument("--reason", default="", metavar="TEXT", help="reason to show in error messages")
    rule_files.add_system_option(action)


def run(options: argparse.Namespace) -> int:
    """Write the revocation and print its path."""
    from pumice.clock import SystemClock
    from pumice.trust import policy, policy_edit
    from pumice.trust.trusted_key import format_day

    rules = policy.read_rules(rule_files.policy_directories())
    fingerprint = options.rule.lower()
    if not policy.is_fingerprint(fingerprint):
        fingerprint = policy_edit.find_rules(rules, fingerprint)[0].key.key.fingerprint
    reason = options.reason or f"on {format_day(SystemClock().now())}"
    for path in policy_edit.revoke_key(rule_files.edited_directory(options), fingerprint, reason, rules):
        print(output.printable(str(path)))
    return 0
