"""``pumice trust why``: explain a decision."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import output, results
from pumice.cli.image_access import registries
from pumice.cli.image_access.decision_views import Verification
from pumice.cli.parsing import arguments as command_line
from pumice.cli.trust import rule_files

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pumice.errors import TrustError
    from pumice.image.model import Image
    from pumice.store.home import Home
    from pumice.trust.decision import Decision
    from pumice.trust.policy import NamePolicy


class ApplicableKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key or identity with a rule for the name; ``problem`` says why it is rejected, if it is."""

    key: str
    kind: str
    comment: str
    rule: str
    problem: str | None


class TrustExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an image may be run, and why.

    ``required_name`` is what it must be signed as, which ``mirror`` changes: the mirror rule, null for none.
    ``threshold`` is the number of ``keys`` that must sign. ``exempt`` says that this store built the image,
    so that it is run without a signature. ``verification`` is what was checked, null for a refused image;
    ``problem`` and ``hint`` are why it is refused.
    """

    reference: str
    digest: str
    name: str
    required_name: str
    mirror: str | None
    keys: tuple[ApplicableKey, ...]
    threshold: int
    trusted: bool
    exempt: bool
    verification: Verification | None
    problem: str | None
    hint: str | None


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice trust``."""
    action = command_line.add_action(
        parser,
        "why",
        run,
        "explain why an image is trusted or not",
        examples=(
            "pumice trust why example.com/apps/web:1.0",
            "pumice trust why example.com/apps/web:1.0 --format '{{.Trusted}}'",
        ),
    )
    action.add_argument("reference", metavar="REF", help="image to examine")
    results.add_format_options(action, "trust why", default="text", example="Trusted")
    registries.options(action)


def run(options: argparse.Namespace) -> int:
    """Print the rules that apply, and what was checked; raise TrustError for an image that is refused."""
    from pumice.clock import SystemClock
    from pumice.errors import TrustError
    from pumice.store.home import Home, locate
    from pumice.trust import admission, image_names, policy

    reference = options.reference
    now = SystemClock().now()
    directories = rule_files.policy_directories()
    decision, problem = None, None
    with Home(locate(os.environ)) as home, registries.open_image(reference, home, options=options) as image:
        name = image_names.requested_name(reference, home, image) or image_names.declared_name(image)
        name_policy = policy.read_name_policy(name, directories)
        request = admission.AdmissionRequest(reference=reference)
        try:
            decision = admission.decide(image, "run", home, request, directories, now=now)
        except TrustError as error:
            problem = error
        explanation = _explain(options, image, home, name, name_policy, decision, problem, now)
    results.write_result(
        explanation, options.format, lambda: map(output.printable, _format_lines(explanation, decision))
    )
    if problem is not None:
        raise problem
    return 0


def _explain(
    options: argparse.Namespace,
    image: Image,
    home: Home,
    name: str,
    name_policy: NamePolicy,
    decision: Decision | None,
    problem: TrustError | None,
    now: int,
) -> TrustExplanation:
    from pumice.cli.image_access.decision_views import describe_decision
    from pumice.trust import admission

    return TrustExplanation(
        reference=options.reference,
        digest=image.root.digest,
        name=name,
        required_name=name_policy.name,
        mirror=name_policy.mirror or None,
        keys=tuple(
            ApplicableKey(
                key=key.key.fingerprint,
                kind=key.kind,
                comment=key.label,
                rule=key.rule,
                problem=key.rejection_reason(now) or None,
            )
            for key in name_policy.keys
        ),
        threshold=name_policy.threshold,
        trusted=decision is not None,
        exempt=decision is not None and admission.is_exempt(image, "run", home),
        verification=describe_decision(decision) if decision else None,
        problem=problem.message if problem else None,
        hint=problem.hint if problem else None,
    )


def _format_lines(explanation: TrustExplanation, decision: Decision | None) -> Iterator[str]:
    from pumice.cli.image_access.decision_views import format_decision

    yield f"name     {explanation.name or '(none)'}"
    if explanation.mirror:
        yield f"as       {explanation.required_name}, by the {explanation.mirror}"
    for key in explanation.keys:
        yield f"key      {key.comment} {key.key} ({key.rule}) {key.problem or ''}".rstrip()
    if explanation.threshold > 1:
        yield f"needs    {explanation.threshold} of these {len(explanation.keys)} keys"
    if decision is None:
        return
    if explanation.exempt:
        yield "trusted  to run from this store, because it was built here"
    yield from format_decision(decision)
    yield "skipped  content: run 'pumice verify' to hash it"
