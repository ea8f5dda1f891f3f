"""``pumice trust list``: list the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import output, results
from pumice.cli.parsing import arguments as command_line
from pumice.cli.trust import rule_files

if TYPE_CHECKING:
    import argparse

    from pumice.trust.policy import Rule

_ALL_NAMES = "(all names)"


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice trust``."""
    action = command_line.add_action(
        parser,
        "list",
        run,
        "list the rules",
        examples=("pumice trust list", "pumice trust list --json"),
    )
    results.add_format_options(action, "trust list", example="Rules")


class TrustRule(msgspec.Struct, frozen=True, kw_only=True):
    """A key or identity that is trusted for names below ``prefix``; the empty prefix means all names.

    ``key`` is its fingerprint and ``file`` the file of the rule, in the directory ``level``. ``state`` is
    ``trusted``, or says why the key is rejected; ``expires`` is a time, null without a limit.
    """

    prefix: str
    key: str
    kind: str
    comment: str
    state: str
    trusted: bool
    expires: str | None
    level: str
    file: str


class AcceptedUnsignedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An unsigned image that was accepted, under ``names``, on the day ``accepted``, in ``file``."""

    digest: str
    names: tuple[str, ...]
    accepted: str
    file: str


class TrustRules(msgspec.Struct, frozen=True):
    """The rules, the number of keys that must sign below each prefix, what mirrors stand for, and the
    unsigned images that were accepted.
    """

    rules: tuple[TrustRule, ...]
    thresholds: dict[str, int]
    mirrors: dict[str, str]
    unsigned: tuple[AcceptedUnsignedImage, ...]


def run(options: argparse.Namespace) -> int:
    """Print the rules, thresholds and mirrors."""
    from pumice.clock import SystemClock
    from pumice.trust import image_mirrors, policy, unsigned_images

    now = SystemClock().now()
    directories = rule_files.policy_directories()
    rules = TrustRules(
        rules=tuple(_describe_rule(rule, now) for rule in policy.read_rules(directories)),
        thresholds=dict(sorted(policy.read_thresholds(directories).items())),
        mirrors=dict(image_mirrors.read_mirrors(directories)),
        unsigned=tuple(
            AcceptedUnsignedImage(
                digest=image.digest,
                names=image.names,
                accepted=image.accepted,
                file=str(image.path.absolute()),
            )
            for image in unsigned_images.list_accepted(directories)
        ),
    )
    results.write_result(rules, options.format, lambda: _format_rules(rules))
    return 0


def _describe_rule(rule: Rule, now: int) -> TrustRule:
    from pumice.clock import format_rfc3339

    key = rule.key
    return TrustRule(
        prefix=rule.prefix,
        key=key.key.fingerprint,
        kind=key.key.kind,
        comment=key.label,
        state=_key_state(rule, now),
        trusted=not key.rejection_reason(now),
        expires=format_rfc3339(key.expires) if key.expires else None,
        level=rule.directory,
        file=str(rule.path.absolute()),
    )


def _format_rules(rules: TrustRules) -> str:
    rows = [
        (rule.prefix or _ALL_NAMES, rule.key, rule.comment, rule.state, rule.level) for rule in rules.rules
    ]
    heads = ("prefix", "key", "comment", "state", "level")
    lines = [f"{prefix or _ALL_NAMES} requires {count} keys" for prefix, count in rules.thresholds.items()]
    lines += [f"{prefix} is a mirror of {target}" for prefix, target in rules.mirrors.items()]
    lines += [
        f"{' and '.join(image.names) or 'an image'} is accepted unsigned ({image.accepted}): {image.digest}"
        for image in rules.unsigned
    ]
    table = output.format_table(heads, rows) if rows else ""
    return table + "".join(f"{output.printable_line(line)}\n" for line in lines)


def _key_state(rule: Rule, now: int) -> str:
    from pumice.trust.trusted_key import format_day

    reason = rule.key.rejection_reason(now)
    if reason:
        return reason
    return f"until {format_day(rule.key.expires)}" if rule.key.expires else "trusted"
