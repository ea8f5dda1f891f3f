"""What ``verify`` and ``trust why`` show of a decision about an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.trust.decision import Decision
    from pumice.trust.image_verification import EvaluatedClaim


class CheckResult(msgspec.Struct, frozen=True):
    """What was checked: ``result`` is ``passed`` or ``skipped``."""

    result: str
    detail: str


class SignedClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A signature or attestation: ``type`` is its predicate type, ``manifest`` the digest that has it.

    ``key`` is a fingerprint; ``identity`` and ``issuer`` are for keyless signatures. ``rule`` is why the key
    is trusted, ``problem`` why the claim is ignored.
    """

    type: str
    form: str
    names: tuple[str, ...]
    manifest: str
    key: str | None
    identity: str | None
    issuer: str | None
    rule: str | None
    created: str | None
    problem: str | None


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """A trusted image: who signed it under which name, and what was checked.

    ``threshold`` is the number of keys that must sign. ``ignored`` are claims that did not count.
    """

    digest: str
    name: str
    built_here: bool
    threshold: int
    checks: dict[str, CheckResult]
    signatures: tuple[SignedClaim, ...]
    attestations: tuple[SignedClaim, ...]
    ignored: tuple[SignedClaim, ...]


def format_decision(decision: Decision) -> Iterator[str]:
    """Yield the lines of the text format."""
    yield f"{decision.name or 'no name'}  {decision.digest}"
    for signature in _without_duplicates(decision.signatures):
        yield f"signed   by {_describe_signer(signature)}{_signing_date(signature)}"
    if decision.threshold > 1:
        yield f"needed   {decision.threshold} different keys"
    for attestation in _without_duplicates(decision.attestations):
        yield f"attested {attestation.claim.predicate_type} by {_describe_signer(attestation)}"
    for reason in sorted({_describe_rejected(item) for item in decision.rejected}):
        yield f"ignored  {reason}"
    for check in decision.checks:
        yield f"{'checked' if check.passed else 'skipped'}  {check.subject}: {check.detail}"


def _describe_rejected(rejected: EvaluatedClaim) -> str:
    kind = "signature" if rejected.claim.is_signature else "attestation"
    return f"{kind} ({rejected.claim.form}): {rejected.problem}"


def _without_duplicates(evaluated: Sequence[EvaluatedClaim]) -> list[EvaluatedClaim]:
    """Return one claim for each key, type and name: most claims are attached in two formats."""
    unique = {
        (item.claim.predicate_type, item.claim.names, _describe_signer(item)): item
        for item in reversed(evaluated)
    }
    return list(reversed(unique.values()))


def _describe_signer(evaluated: EvaluatedClaim) -> str:
    key = evaluated.trusted_key
    if key is None:
        return "an unknown key"
    label = f"{key.label} " if key.label else ""
    return f"{label}{key.key.fingerprint} ({key.rule})"


def _signing_date(evaluated: EvaluatedClaim) -> str:
    from pumice.trust.trusted_key import format_day

    return f" on {format_day(evaluated.claim.created)}" if evaluated.claim.created else ""


def describe_decision(decision: Decision) -> Verification:
    """Return a decision as the value of the JSON format."""
    return Verification(
        digest=decision.digest,
        name=decision.name,
        built_here=decision.built_here,
        threshold=decision.threshold,
        checks={
            check.subject: CheckResult("passed" if check.passed else "skipped", check.detail)
            for check in decision.checks
        },
        signatures=tuple(_describe_claim(item) for item in decision.signatures),
        attestations=tuple(_describe_claim(item) for item in decision.attestations),
        ignored=tuple(_describe_claim(item) for item in decision.rejected),
    )


def _describe_claim(evaluated: EvaluatedClaim) -> SignedClaim:
    from pumice.clock import format_rfc3339

    claim, trusted_key = evaluated.claim, evaluated.trusted_key
    return SignedClaim(
        type=claim.predicate_type,
        form=claim.form,
        names=tuple(claim.names),
        manifest=claim.source,
        key=trusted_key.key.fingerprint if trusted_key else None,
        identity=getattr(trusted_key.key, "identity", None) if trusted_key else None,
        issuer=getattr(trusted_key.key, "issuer", None) if trusted_key else None,
        rule=trusted_key.rule if trusted_key else None,
        created=format_rfc3339(claim.created) if claim.created else None,
        problem=evaluated.problem or None,
    )
