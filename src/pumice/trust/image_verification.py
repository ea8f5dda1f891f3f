"""Who vouches for an image, and whether that is enough.

Nothing here asks a network. A claim counts if a key that is trusted for the image's name made it
about this digest, under this name. What does not count is remembered with the reason, so that a
refusal can say what was found.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.errors import TrustError
from pumice.trust import budget as budgets
from pumice.trust import claims, image_names, keys, signers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pumice.digest import Digest
    from pumice.image.model import Image
    from pumice.store.home import Home
    from pumice.trust.budget import Budget
    from pumice.trust.claims import Claim
    from pumice.trust.trusted_key import TrustedKey

_MOST_NAMES = 5


class EvaluatedClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim, who made it (None: nobody who is known), and why it does not count ("": it does)."""

    claim: Claim
    trusted_key: TrustedKey | None = None
    problem: str = ""


class VerifiedImage(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about an image that is trusted."""

    digest: Digest
    name: str
    signed_at: int = 0
    """When so many signers as are needed had signed, in seconds since the epoch; 0 if they do not say."""
    signatures: tuple[EvaluatedClaim, ...] = ()
    attestations: tuple[EvaluatedClaim, ...] = ()
    threshold: int = 1
    """How many different keys had to sign."""
    rejected: tuple[EvaluatedClaim, ...] = ()
    """What does not count, with the reasons."""


def verify_image(
    image: Image,
    home: Home | None,
    trusted: Sequence[TrustedKey],
    *,
    expected: str,
    now: int,
    threshold: int = 1,
    signatures_only: bool = False,
) -> VerifiedImage:
    """Return the verdict on an image that ``threshold`` of the trusted keys signed as ``expected``.

    ``expected`` may be "" for an image whose name is not known: then it is the one it was signed as.
    With ``signatures_only`` attestations are not read unless it comes to saying why. Raises TrustError
    that says why the image is not trusted.
    """
    name = expected or image_names.declared_name(image)
    findings = _without_content(
        evaluate_claims(image, home, trusted, expected=name, now=now, signatures_only=signatures_only)
    )
    good = [one for one in findings if not one.problem and one.claim.is_signature]
    signed = [one.trusted_key for one in good if one.trusted_key]
    if signers.count_signers(signed, trusted) < max(1, threshold):
        if signatures_only and not signed:
            limit = budgets.signature_budget()
            findings = _without_content(
                evaluate_claims(image, home, trusted, expected=name, now=now, budget=limit)
            )
        raise _explain_rejection(image, findings, signed, trusted, threshold, now)
    return VerifiedImage(
        digest=image.root.digest,
        name=expected or image_names.declared_name(image) or _signed_name(good),
        signed_at=_signing_time(good, trusted, max(1, threshold)),
        signatures=tuple(good),
        threshold=threshold,
        attestations=tuple(one for one in findings if not one.problem and not one.claim.is_signature),
        rejected=tuple(one for one in findings if one.problem),
    )


def _without_content(findings: Iterable[EvaluatedClaim]) -> list[EvaluatedClaim]:
    kept: list[EvaluatedClaim] = []
    for one in findings:
        kept.append(msgspec.structs.replace(one, claim=claims.without_content(one.claim)))
        del one  # before the next one is read
    return kept


def _signing_time(good: Iterable[EvaluatedClaim], trusted: Sequence[TrustedKey], threshold: int) -> int:
    """Return since when enough signers had signed: one of several cannot make an image newer alone."""
    numbers = signers.group_by_signer(trusted)
    latest: dict[int, int] = {}
    for one in good:
        if one.trusted_key is not None:
            signer = numbers[one.trusted_key.key.fingerprint]
            latest[signer] = max(latest.get(signer, 0), one.claim.created)
    return sorted(latest.values(), reverse=True)[threshold - 1]


def evaluate_claims(
    image: Image,
    home: Home | None,
    trusted: Sequence[TrustedKey],
    *,
    expected: str,
    now: int,
    signatures_only: bool = False,
    budget: Budget | None = None,
) -> Iterator[EvaluatedClaim]:
    """Yield every claim about an image with who made it and whether it counts.

    One at a time, because each may hold a bill of materials: keep what you need of it only.
    """
    own = image_names.declared_name(image)
    also = [one for one in (own, image.known_as) if one]
    left = budget or (budgets.signature_budget() if signatures_only else budgets.Budget())
    for claim in _read_claims(image, home, trusted, left, now=now, signatures_only=signatures_only):
        if not claim.names and own:  # the image's digest covers what it says of itself
            claim = msgspec.structs.replace(claim, names=(own,))  # noqa: PLW2901
        yield from _evaluate_claim(claim, image.root.digest, trusted, expected, also, now)
        del claim  # before the next one is read


def _read_claims(
    image: Image,
    home: Home | None,
    trusted: Sequence[TrustedKey],
    budget: Budget,
    *,
    now: int,
    signatures_only: bool,
) -> Iterator[Claim]:
    yield from claims.read_claims(image, home, signatures_only=signatures_only, budget=budget)
    if image.archive is not None:  # else what reads OpenPGP is not even loaded
        from pumice.trust import archive_signatures

        yield from archive_signatures.read_claims(image, trusted, now=now, budget=budget)


def _evaluate_claim(
    claim: Claim, subject: Digest, trusted: Sequence[TrustedKey], expected: str, also: Sequence[str], now: int
) -> list[EvaluatedClaim]:
    """One finding for each trusted key that made the claim; one without a key if none did.

    Only signatures say what an image may be taken for, so what is attested of it may call it by any of
    ``also``: its own name, which its digest covers, and where it lies.
    """
    if claim.problem:
        return [EvaluatedClaim(claim=claim, problem=claim.problem)]
    if claim.subject != subject:
        return [EvaluatedClaim(claim=claim, problem=f"it is about another image, {claim.subject}")]
    makers = [one for one in trusted if _is_signed_by(claim, one)]
    reason = "it is by none of the keys that are trusted for this name"
    if claim.certified and not makers:
        from pumice.trust import keyless

        makers, reason = keyless.find_signers(claim, trusted)
    if not makers:
        return [EvaluatedClaim(claim=claim, problem=reason)]
    wanted = [expected, *(() if claim.is_signature else also)]
    findings: list[EvaluatedClaim] = []
    for one in makers:
        problem = one.rejection_reason(now)
        if problem:
            problem = f"its {one.kind} {describe_key(one)} {problem}"
        elif expected and not any(image_names.matches(*pair) for pair in product(claim.names, wanted)):
            stated = " and ".join(claim.names[:_MOST_NAMES]) or "nothing"
            problem = f"it is signed as {stated}, not as {expected}"
        findings.append(EvaluatedClaim(claim=claim, trusted_key=one, problem=problem))
    return findings


def _is_signed_by(claim: Claim, one: TrustedKey) -> bool:
    if claim.signer_fingerprints is not None:
        return one.key.fingerprint in claim.signer_fingerprints
    return any(keys.verify_signature(one.key, signature, claim.signed) for signature in claim.signatures)


def _signed_name(good: Iterable[EvaluatedClaim]) -> str:
    stated = sorted({name for one in good for name in one.claim.names})
    return stated[0] if stated else ""


def _too_few_signers(
    where: str, signed: Sequence[TrustedKey], trusted: Sequence[TrustedKey], threshold: int, now: int
) -> TrustError:
    """Say who signed, and who else could."""
    count = signers.count_signers(signed, trusted)
    done = sorted({describe_key(one) for one in signed})
    can = [one for one in trusted if not one.rejection_reason(now)]
    done_by = signers.signer_numbers(signed, trusted)
    missing = sorted(
        {describe_key(one) for one in can if not signers.signer_numbers([one], trusted) <= done_by}
    )
    hint = f"signatures of these count as well: {', '.join(missing)}"
    if signers.count_signers(can, trusted) < threshold:
        hint = f"no more than {signers.count_signers(can, trusted)} signers are trusted for this name at all"
    return TrustError(
        f"the image is signed by {count} of the {threshold} keys that are needed: {', '.join(done)}",
        where=where,
        hint=hint,
    )


def _explain_rejection(
    image: Image,
    found: Sequence[EvaluatedClaim],
    signed: Sequence[TrustedKey],
    trusted: Sequence[TrustedKey],
    threshold: int,
    now: int,
) -> TrustError:
    """Say the one thing that is nearest to a signature that would have counted."""
    where = image.root.digest
    if signed:
        return _too_few_signers(where, signed, trusted, threshold, now)
    known = [one for one in found if one.trusted_key and one.claim.is_signature]
    if known:
        hint = None
        if known[0].claim.names and "not as" in known[0].problem:
            hint = f"if that is what you mean, say --as {known[0].claim.names[0]}"
        reasons = "; ".join(sorted({one.problem for one in known}))
        return TrustError(f"the image's signature does not count: {reasons}", where=where, hint=hint)
    if any(one.trusted_key and not one.problem for one in found):
        return TrustError(
            "the image has an attestation by a trusted key, but no signature",
            where=where,
            hint="an attestation states something about an image, also a bad thing; ask for pumice sign",
        )
    if not found:
        return TrustError("the image is not signed", where=where, hint="sign it: pumice sign REF --key KEY")
    reasons = "; ".join(sorted({one.problem for one in found})[:5])
    hint = "see 'pumice trust list' for the keys that are trusted"
    if any(one.claim.certified for one in found):
        from pumice.trust import keyless

        hint = keyless.HINT if keyless.MISSING in reasons else hint
    return TrustError(f"no signature of the image counts: {reasons}", where=where, hint=hint)


def find_mismatch(policy: Any, predicate: Any) -> str:
    """Say where ``predicate`` is not as ``policy`` asks, as a path; "" if it is.

    Objects must have the policy's keys with matching values, lists an element that matches for each
    of the policy's, everything else must be equal.
    """
    if isinstance(policy, dict):
        if not isinstance(predicate, dict):
            return "."
        for key, value in policy.items():
            if key not in predicate:
                return f".{key}"
            if below := find_mismatch(value, predicate[key]):
                return f".{key}{below if below != '.' else ''}"
        return ""
    if isinstance(policy, list):
        if not isinstance(predicate, list):
            return "."
        for number, value in enumerate(policy):
            if all(find_mismatch(value, item) for item in predicate):
                return f"[{number}]"
        return ""
    return "" if type(policy) is type(predicate) and policy == predicate else "."


def describe_key(one: TrustedKey) -> str:
    """Return what to call a key in a sentence."""
    return f"{one.label} ({one.key.fingerprint[:16]})" if one.label else one.key.fingerprint[:16]
