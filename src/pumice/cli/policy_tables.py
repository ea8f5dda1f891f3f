"""The trust policy as text, for ``pumice trust``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.trust.policy import NamePolicy, PolicyDirectory, Rule


def format_policy(directories: Sequence[PolicyDirectory], now: int) -> str:
    """Return the rules, thresholds, mirrors and accepted unsigned images; ``now`` is the time."""
    from pumice.trust import policy, unsigned_images

    rows = [
        (
            rule.prefix or "(all names)",
            rule.key.key.fingerprint,
            rule.key.label,
            _key_state(rule, now),
            rule.directory,
        )
        for rule in policy.read_rules(directories)
    ]
    text = output.format_table(("prefix", "key", "comment", "state", "level"), rows) if rows else ""
    lines = [
        f"{prefix or '(all names)'} requires {count} keys"
        for prefix, count in sorted(policy.read_thresholds(directories).items())
    ]
    lines += [
        f"{prefix} is a mirror of {target}" for prefix, target in policy.read_mirrors(directories).items()
    ]
    lines += [
        f"{' and '.join(image.names) or 'an image'} is accepted unsigned ({image.accepted}): {image.digest}"
        for image in unsigned_images.list_accepted(directories)
    ]
    return text + "".join(f"{output.printable(line)}\n" for line in lines)


def _key_state(rule: Rule, now: int) -> str:
    from pumice.trust.trusted_key import format_day

    reason = rule.key.rejection_reason(now)
    if reason:
        return reason
    return f"until {format_day(rule.key.expires)}" if rule.key.expires else "trusted"


def policy_lines(name: str, name_policy: NamePolicy, now: int) -> list[str]:
    """Return the policy for one name."""
    lines = [f"name     {name or '(none)'}"]
    if name_policy.mirror:
        lines.append(f"as       {name_policy.name}, by the {name_policy.mirror}")
    for key in name_policy.keys:
        reason = key.rejection_reason(now)
        lines.append(f"key      {key.label} {key.key.fingerprint} ({key.rule}) {reason}".rstrip())
    if name_policy.threshold > 1:
        lines.append(f"needs    {name_policy.threshold} of these {len(name_policy.keys)} keys")
    return lines
