"""``pumice trust export``: print the policy for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice import ownership
from pumice.cli.parsing import arguments as command_line
from pumice.cli.trust import rule_files

if TYPE_CHECKING:
    import argparse


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice trust``."""
    action = command_line.add_action(
        parser,
        "export",
        run,
        "print the policy for podman and skopeo",
        examples=(
            "pumice trust export",
            "pumice trust export --output policy",
        ),
    )
    action.add_argument(
        "--format",
        choices=("containers-policy",),
        default="containers-policy",
        metavar="FORMAT",
        help="containers-policy (default: containers-policy)",
    )
    action.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="write the policy to files in DIR (default: print it)",
    )


def run(options: argparse.Namespace) -> int:
    """Print the policy, or write its files."""
    from pumice import files
    from pumice.clock import SystemClock
    from pumice.trust import export, image_mirrors, policy

    directories = rule_files.policy_directories()
    rules, mirrors = policy.read_rules(directories), image_mirrors.read_mirrors(directories)
    skipped_kinds = {export.UNSUPPORTED_KINDS.get(rule.key.key.kind, "") for rule in rules} - {""}
    for kind in sorted(skipped_kinds):
        print(f"# {kind} are left out: podman and skopeo do not support them", file=sys.stderr)
    policy_json = export.containers_policy(
        rules, policy.read_thresholds(directories), mirrors, now=SystemClock().now()
    )
    if options.output is None:
        sys.stdout.write(policy_json.decode())
        return 0
    ownership.make_directories(options.output / "registries.d")
    files.replace(options.output / "policy.json", policy_json)
    files.replace(options.output / "registries.d" / "pumice.yaml", export.registries_config(rules, mirrors))
    return 0
