"""The rule files that ``pumice trust`` reads and changes, and the options that select them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.errors import TrustError, UsageError

if TYPE_CHECKING:
    import argparse

    from pumice.trust.policy import Rule
    from pumice.trust.policy_files import PolicyDirectory


def add_system_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--system``."""
    parser.add_argument(
        "--system", action="store_true", help="change /etc/pumice/trust instead of your own rules"
    )


def add_scope_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--prefix`` and ``--root``."""
    parser.add_argument(
        "--prefix", metavar="PREFIX", help="for the name PREFIX and all names below it, PREFIX/…"
    )
    parser.add_argument("--root", action="store_true", help="for all names, instead of --prefix")


def policy_directories() -> tuple[PolicyDirectory, ...]:
    """Return the directories with rules, the weakest first."""
    from pumice.trust import policy

    return policy.policy_directories(os.environ)


def edited_directory(options: argparse.Namespace) -> PolicyDirectory:
    """Return the directory to change; raises UsageError if there is no home directory."""
    name = "system" if options.system else "user"
    for directory in policy_directories():
        if directory.name == name:
            return directory
    raise UsageError("no home directory for your rules", hint="set HOME, or pass --system")


def requested_prefix(options: argparse.Namespace) -> str:
    """Return the prefix, empty for all names; raises UsageError unless there is one of both options."""
    if options.root == bool(options.prefix):
        raise UsageError(
            "the key needs a prefix of names", hint="pass --prefix example.com/apps, or --root for all names"
        )
    return options.prefix or ""


def matching_rules(options: argparse.Namespace, fingerprint: str) -> list[Rule]:
    """Return the rules of a key, of one prefix if the options have one; raises TrustError without any."""
    from pumice.trust import policy, policy_edit

    rules = policy_edit.find_rules(policy.read_rules(policy_directories()), fingerprint)
    if options.root or options.prefix:
        prefix = requested_prefix(options)
        rules = [rule for rule in rules if rule.prefix == prefix]
        if not rules:
            hint = "run 'pumice trust list' to list the rules"
            raise TrustError(f"the key has no rule for {prefix or 'all names'}", hint=hint)
    return rules
