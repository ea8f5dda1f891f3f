"""``pumice trust why``: explain a decision."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, registries
from pumice.cli.trust import rule_files

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.trust.policy import NamePolicy


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice trust``."""
    action = command_line.add_action(
        parser,
        "why",
        run,
        "explain why an image is trusted or not",
        examples=("pumice trust why example.com/apps/web:1.0",),
    )
    action.add_argument("reference", metavar="REF", help="image to examine")
    registries.options(action)


def run(options: argparse.Namespace) -> int:
    """Print the rules that apply, and what was checked."""
    from pumice.cli import verify
    from pumice.clock import SystemClock
    from pumice.store.home import Home, locate
    from pumice.trust import admission, image_names, policy

    reference = options.reference
    now = SystemClock().now()
    directories = rule_files.policy_directories()
    with Home(locate(os.environ)) as home, registries.open_image(reference, home, options=options) as image:
        name = image_names.requested_name(reference, home, image) or image_names.declared_name(image)
        _print_lines(_policy_lines(name, policy.read_name_policy(name, directories), now))
        request = admission.AdmissionRequest(reference=reference)
        decision = admission.decide(image, "run", home, request, directories, now=now)
        if admission.is_exempt(image, "run", home):
            print("trusted  to run from this store, because it was built here")
    _print_lines(list(verify.decision_lines(decision)))
    print("skipped  content: run 'pumice verify' to hash it")
    return 0


def _policy_lines(name: str, name_policy: NamePolicy, now: int) -> list[str]:
    lines = [f"name     {name or '(none)'}"]
    if name_policy.mirror:
        lines.append(f"as       {name_policy.name}, by the {name_policy.mirror}")
    for key in name_policy.keys:
        reason = key.rejection_reason(now)
        lines.append(f"key      {key.label} {key.key.fingerprint} ({key.rule}) {reason}".rstrip())
    if name_policy.threshold > 1:
        lines.append(f"needs    {name_policy.threshold} of these {len(name_policy.keys)} keys")
    return lines


def _print_lines(lines: Sequence[str]) -> None:
    sys.stdout.write("".join(f"{output.printable(line)}\n" for line in lines))
