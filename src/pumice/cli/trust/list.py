"""``pumice trust list``: list the rules."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output
from pumice.cli.trust import rule_files

if TYPE_CHECKING:
    import argparse

    from pumice.trust.policy import Rule


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice trust``."""
    command_line.add_action(
        parser,
        "list",
        run,
        "list the rules",
        examples=("pumice trust list",),
    )


def run(_options: argparse.Namespace) -> int:
    """Print the rules, thresholds and mirrors."""
    from pumice.clock import SystemClock
    from pumice.trust import policy

    now = SystemClock().now()
    rows = [
        (
            rule.prefix or "(all names)",
            rule.key.key.fingerprint,
            rule.key.label,
            _key_state(rule, now),
            rule.directory,
        )
        for rule in policy.read_rules(rule_files.policy_directories())
    ]
    if rows:
        sys.stdout.write(output.format_table(("prefix", "key", "comment", "state", "level"), rows))
    for prefix, count in sorted(policy.read_thresholds(rule_files.policy_directories()).items()):
        print(f"{output.printable(prefix) or '(all names)'} requires {count} keys")
    for prefix, target in policy.read_mirrors(rule_files.policy_directories()).items():
        print(output.printable(f"{prefix} is a mirror of {target}"))
    return 0


def _key_state(rule: Rule, now: int) -> str:
    from pumice.trust.trusted_key import format_day

    reason = rule.key.rejection_reason(now)
    if reason:
        return reason
    return f"until {format_day(rule.key.expires)}" if rule.key.expires else "trusted"
