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
    evaluated_claims = _without_content(
        evaluate_claims(image, home, trusted, expected=name, now=now, signatures_only=signatures_only)
    )
    valid = [one for one in evaluated_claims if not one.problem and one.claim.is_signature]
    signing_keys = [one.trusted_key for one in valid if one.trusted_key]
    if signers.count_signers(signing_keys, trusted) < max(1, threshold):
        if signatures_only and not signing_keys:
            budget = budgets.signature_budget()
            evaluated_claims = _without_content(
                evaluate_claims(image, home, trusted, expected=name, now=now, budget=budget)
            )
        raise _explain_rejection(image, evaluated_claims, signing_keys, trusted, threshold, now)
    return VerifiedImage(
        digest=image.root.digest,
        name=expected or image_names.declared_name(image) or _signed_name(valid),
        signed_at=_signing_time(valid, trusted, max(1, threshold)),
        signatures=tuple(valid),
        threshold=threshold,
        attestations=tuple(one for one in evaluated_claims if not one.problem and not one.claim.is_signature),
        rejected=tuple(one for one in evaluated_claims if one.problem),
    )


def _without_content(evaluated_claims: Iterable[EvaluatedClaim]) -> list[EvaluatedClaim]:
    reduced: list[EvaluatedClaim] = []
    for item in evaluated_claims:
        reduced.append(msgspec.structs.replace(item, claim=claims.without_content(item.claim)))
        del item  # before the next one is read
    return reduced


def _signing_time(valid: Iterable[EvaluatedClaim], trusted: Sequence[TrustedKey], threshold: int) -> int:
    """Return since when enough signers had signed: one of several cannot make an image newer alone."""
    numbers = signers.group_by_signer(trusted)
    latest: dict[int, int] = {}
    for item in valid:
        if item.trusted_key is not None:
            signer = numbers[item.trusted_key.key.fingerprint]
            latest[signer] = max(latest.get(signer, 0), item.claim.created)
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
    declared_name = image_names.declared_name(image)
    attestation_names = [one for one in (declared_name, image.known_as) if one]
    remaining_budget = budget or (budgets.signature_budget() if signatures_only else budgets.Budget())
    for claim in _read_claims(
        image, home, trusted, remaining_budget, now=now, signatures_only=signatures_only
    ):
        if not claim.names and declared_name:  # the image's digest covers what it says of itself
            claim = msgspec.structs.replace(claim, names=(declared_name,))  # noqa: PLW2901
        yield from _evaluate_claim(claim, image.root.digest, trusted, expected, attestation_names, now)
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
    claim: Claim,
    subject: Digest,
    trusted: Sequence[TrustedKey],
    expected: str,
    attestation_names: Sequence[str],
    now: int,
) -> list[EvaluatedClaim]:
    """One finding for each trusted key that made the claim; one without a key if none did.

    Only signatures say what an image may be taken for, so what is attested of it may call it by any of
    ``also``: its own name, which its digest covers, and where it lies.
    """
    if claim.problem:
        return [EvaluatedClaim(claim=claim, problem=claim.problem)]
    if claim.subject != subject:
        return [EvaluatedClaim(claim=claim, problem=f"it is about another image, {claim.subject}")]
    signing_keys = [one for one in trusted if _is_signed_by(claim, one)]
    reason = "it is by none of the keys that are trusted for this name"
    if claim.certified and not signing_keys:
        from pumice.trust import keyless

        signing_keys, reason = keyless.find_signers(claim, trusted)
    if not signing_keys:
        return [EvaluatedClaim(claim=claim, problem=reason)]
    accepted_names = [expected, *(() if claim.is_signature else attestation_names)]
    evaluated: list[EvaluatedClaim] = []
    for one in signing_keys:
        problem = one.rejection_reason(now)
        if problem:
            problem = f"its {one.kind} {describe_key(one)} {problem}"
        elif expected and not any(
            image_names.matches(*pair) for pair in product(claim.names, accepted_names)
        ):
            signed_names = " and ".join(claim.names[:_MOST_NAMES]) or "nothing"
            problem = f"it is signed as {signed_names}, not as {expected}"
        evaluated.append(EvaluatedClaim(claim=claim, trusted_key=one, problem=problem))
    return evaluated


def _is_signed_by(claim: Claim, trusted_key: TrustedKey) -> bool:
    if claim.signer_fingerprints is not None:
        return trusted_key.key.fingerprint in claim.signer_fingerprints
    return any(
        keys.verify_signature(trusted_key.key, signature, claim.signed) for signature in claim.signatures
    )


def _signed_name(valid: Iterable[EvaluatedClaim]) -> str:
    signed_names = sorted({name for one in valid for name in one.claim.names})
    return signed_names[0] if signed_names else ""


def _too_few_signers(
    where: str, signing_keys: Sequence[TrustedKey], trusted: Sequence[TrustedKey], threshold: int, now: int
) -> TrustError:
    """Say who signed, and who else could."""
    count = signers.count_signers(signing_keys, trusted)
    signing = sorted({describe_key(one) for one in signing_keys})
    usable = [one for one in trusted if not one.rejection_reason(now)]
    signed_numbers = signers.signer_numbers(signing_keys, trusted)
    missing = sorted(
        {describe_key(one) for one in usable if not signers.signer_numbers([one], trusted) <= signed_numbers}
    )
    hint = f"signatures of these count as well: {', '.join(missing)}"
    if signers.count_signers(usable, trusted) < threshold:
        hint = (
            f"no more than {signers.count_signers(usable, trusted)} signers are trusted for this name at all"
        )
    return TrustError(
        f"the image is signed by {count} of the {threshold} keys that are needed: {', '.join(signing)}",
        where=where,
        hint=hint,
    )


def _explain_rejection(
    image: Image,
    evaluated_claims: Sequence[EvaluatedClaim],
    signing_keys: Sequence[TrustedKey],
    trusted: Sequence[TrustedKey],
    threshold: int,
    now: int,
) -> TrustError:
    """Say the one thing that is nearest to a signature that would have counted."""
    where = image.root.digest
    if signing_keys:
        return _too_few_signers(where, signing_keys, trusted, threshold, now)
    by_trusted_keys = [one for one in evaluated_claims if one.trusted_key and one.claim.is_signature]
    if by_trusted_keys:
        hint = None
        if by_trusted_keys[0].claim.names and "not as" in by_trusted_keys[0].problem:
            hint = f"if that is what you mean, say --as {by_trusted_keys[0].claim.names[0]}"
        reasons = "; ".join(sorted({one.problem for one in by_trusted_keys}))
        return TrustError(f"the image's signature does not count: {reasons}", where=where, hint=hint)
    if any(one.trusted_key and not one.problem for one in evaluated_claims):
        return TrustError(
            "the image has an attestation by a trusted key, but no signature",
            where=where,
            hint="an attestation states something about an image, also a bad thing; ask for pumice sign",
        )
    if not evaluated_claims:
        return TrustError("the image is not signed", where=where, hint="sign it: pumice sign REF --key KEY")
    reasons = "; ".join(sorted({one.problem for one in evaluated_claims})[:5])
    hint = "see 'pumice trust list' for the keys that are trusted"
    if any(one.claim.certified for one in evaluated_claims):
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


def describe_key(trusted_key: TrustedKey) -> str:
    """Return what to call a key in a sentence."""
    return (
        f"{trusted_key.label} ({trusted_key.key.fingerprint[:16]})"
        if trusted_key.label
        else trusted_key.key.fingerprint[:16]
    )
