"""Verifying the signatures and attestations of an image against trusted keys.

A claim is valid if a key that is trusted for the image's name signed it for this digest under this name.
Claims that are not valid are kept with the reason, so that an error can list them. Nothing here uses the
network.
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

_MAX_NAMES = 5


class EvaluatedClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim, the trusted key that signed it (None: no such key), and why it is not valid ("": it is)."""

    claim: Claim
    trusted_key: TrustedKey | None = None
    problem: str = ""


class UntrustedSignerError(TrustError):
    """Somebody signed the image, but no trusted key; ``fingerprints`` are those that the claims name."""

    fingerprints: tuple[str, ...] = ()


class VerifiedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that is signed by enough trusted keys, with its evaluated claims."""

    digest: Digest
    name: str
    signed_at: int = 0
    """When the required number of signers had signed, in seconds since the epoch; 0 if unknown."""
    signatures: tuple[EvaluatedClaim, ...] = ()
    attestations: tuple[EvaluatedClaim, ...] = ()
    threshold: int = 1
    """The number of different signers that were required."""
    rejected: tuple[EvaluatedClaim, ...] = ()
    """Claims that are not valid, with the reasons."""


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
    """Return the image with its claims if ``threshold`` trusted signers signed it as ``expected``.

    ``expected`` is "" if the name is unknown; then the name in the signature is taken. With
    ``signatures_only`` attestations are read only to explain an error. Raises TrustError with the reason
    if the image is not signed by enough trusted signers.
    """
    name = expected or image_names.declared_name(image)
    evaluated_claims = _without_content(
        evaluate_claims(image, home, trusted, expected=name, now=now, signatures_only=signatures_only)
    )
    valid_claims = [evaluation for evaluation in evaluated_claims if not evaluation.problem]
    valid_signatures = [evaluation for evaluation in valid_claims if evaluation.claim.is_signature]
    signing_keys = [evaluation.trusted_key for evaluation in valid_signatures if evaluation.trusted_key]
    if signers.count_signers(signing_keys, trusted) < max(1, threshold):
        if signatures_only and not signing_keys:
            budget = budgets.signature_budget()
            evaluated_claims = _without_content(
                evaluate_claims(image, home, trusted, expected=name, now=now, budget=budget)
            )
        raise _explain_rejection(image, evaluated_claims, signing_keys, trusted, threshold, now)
    return VerifiedImage(
        digest=image.root.digest,
        name=expected or image_names.declared_name(image) or _signed_name(valid_signatures),
        signed_at=_signing_time(valid_signatures, trusted, max(1, threshold)),
        signatures=tuple(valid_signatures),
        threshold=threshold,
        attestations=tuple(item for item in valid_claims if not item.claim.is_signature),
        rejected=tuple(evaluation for evaluation in evaluated_claims if evaluation.problem),
    )


def _without_content(evaluated_claims: Iterable[EvaluatedClaim]) -> list[EvaluatedClaim]:
    reduced: list[EvaluatedClaim] = []
    for evaluation in evaluated_claims:
        reduced.append(msgspec.structs.replace(evaluation, claim=claims.without_content(evaluation.claim)))
        del evaluation  # release it before the next claim is read
    return reduced


def _signing_time(valid: Iterable[EvaluatedClaim], trusted: Sequence[TrustedKey], threshold: int) -> int:
    """Return when enough signers had signed, so that a single signer cannot make an image newer."""
    numbers = signers.group_by_signer(trusted)
    latest: dict[int, int] = {}
    for evaluation in valid:
        if evaluation.trusted_key is not None:
            signer = numbers[evaluation.trusted_key.key.fingerprint]
            latest[signer] = max(latest.get(signer, 0), evaluation.claim.created)
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
    """Yield every claim about an image with the key that signed it and whether it is valid.

    A claim may hold an SBOM, so they are yielded one at a time; keep only what you need of each.
    """
    declared_name = image_names.declared_name(image)
    attestation_names = [name for name in (declared_name, image.registry_name) if name]
    remaining_budget = budget or (budgets.signature_budget() if signatures_only else budgets.Budget())
    for claim in _read_claims(
        image, home, trusted, remaining_budget, now=now, signatures_only=signatures_only
    ):
        yield from _evaluate_claim(
            _add_name(claim, declared_name), image.root.digest, trusted, expected, attestation_names, now
        )
        del claim  # release it before the next claim is read


def _add_name(claim: Claim, declared_name: str) -> Claim:
    """Return a claim without a name as one of the declared name, which the digest covers."""
    if claim.names or not declared_name:
        return claim
    return msgspec.structs.replace(claim, names=(declared_name,))


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
    if image.archive is not None:  # otherwise the OpenPGP code is not loaded
        from pumice.trust import archive_signatures

        yield from archive_signatures.read_claims(image, trusted, now=now, budget=budget)
    elif home is not None and image.blobs is home.blobs:
        yield from claims.read_archive_mark(image, home)


def _evaluate_claim(
    claim: Claim,
    subject: Digest,
    trusted: Sequence[TrustedKey],
    expected: str,
    attestation_names: Sequence[str],
    now: int,
) -> list[EvaluatedClaim]:
    """Return an evaluated claim for each trusted key that signed it, or one without a key if none did.

    Only signatures decide the name of an image, so an attestation may also use ``attestation_names``: the
    declared name, which the digest covers, and the reference in the registry.
    """
    if claim.problem:
        return [EvaluatedClaim(claim=claim, problem=claim.problem)]
    if claim.subject != subject:
        return [EvaluatedClaim(claim=claim, problem=f"it is about another image ({claim.subject})")]
    signing_keys = [key for key in trusted if _is_signed_by(claim, key)]
    reason = "not signed by a key that is trusted for this name"
    if claim.certified and not signing_keys:
        from pumice.trust import keyless

        signing_keys, reason = keyless.find_signers(claim, trusted)
    if not signing_keys:
        return [EvaluatedClaim(claim=claim, problem=reason)]
    accepted_names = [expected, *(() if claim.is_signature else attestation_names)]
    evaluated: list[EvaluatedClaim] = []
    for key in signing_keys:
        problem = key.rejection_reason(now)
        if problem:
            problem = f"its {key.kind} {describe_key(key)} {problem}"
        elif expected and not any(
            image_names.matches(*pair) for pair in product(claim.names, accepted_names)
        ):
            signed_names = " and ".join(claim.names[:_MAX_NAMES]) or "nothing"
            problem = f"signed as {signed_names}, not as {expected}"
        evaluated.append(EvaluatedClaim(claim=claim, trusted_key=key, problem=problem))
    return evaluated


def _is_signed_by(claim: Claim, trusted_key: TrustedKey) -> bool:
    if claim.signer_fingerprints is not None:
        return trusted_key.key.fingerprint in claim.signer_fingerprints
    return any(
        keys.verify_signature(trusted_key.key, signature, claim.signed) for signature in claim.signatures
    )


def _signed_name(valid: Iterable[EvaluatedClaim]) -> str:
    signed_names = sorted({name for item in valid for name in item.claim.names})
    return signed_names[0] if signed_names else ""


def _too_few_signers(
    where: str, signing_keys: Sequence[TrustedKey], trusted: Sequence[TrustedKey], threshold: int, now: int
) -> TrustError:
    """Return the error that lists who signed and who else could sign."""
    count = signers.count_signers(signing_keys, trusted)
    signing = sorted({describe_key(key) for key in signing_keys})
    usable = [key for key in trusted if not key.rejection_reason(now)]
    signed_numbers = signers.signer_numbers(signing_keys, trusted)
    missing = sorted(
        {describe_key(key) for key in usable if not signers.signer_numbers([key], trusted) <= signed_numbers}
    )
    hint = f"also trusted for this name: {', '.join(missing)}"
    if signers.count_signers(usable, trusted) < threshold:
        hint = f"only {signers.count_signers(usable, trusted)} signers are trusted for this name"
    return TrustError(
        f"the image is signed by {count} of {threshold} required keys: {', '.join(signing)}",
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
    """Return the error for the claim that is closest to a valid signature."""
    where = image.root.digest
    if signing_keys:
        return _too_few_signers(where, signing_keys, trusted, threshold, now)
    by_trusted_keys = [item for item in evaluated_claims if item.trusted_key and item.claim.is_signature]
    if by_trusted_keys:
        hint = None
        if by_trusted_keys[0].claim.names and "not as" in by_trusted_keys[0].problem:
            hint = f"to accept this name, pass --as {by_trusted_keys[0].claim.names[0]}"
        reasons = "; ".join(sorted({item.problem for item in by_trusted_keys}))
        return TrustError(f"the image's signature is not valid: {reasons}", where=where, hint=hint)
    if any(item.trusted_key and not item.problem for item in evaluated_claims):
        return TrustError(
            "the image has an attestation by a trusted key, but no signature",
            where=where,
            hint="an attestation is not a signature; its publisher must run 'pumice sign'",
        )
    if not evaluated_claims:
        from pumice.trust.unsigned_images import UnsignedImageError

        return UnsignedImageError(
            "the image is not signed", where=where, hint="sign it with 'pumice sign REF --key KEY'"
        )
    return _untrusted_signer(where, evaluated_claims)


def _untrusted_signer(where: str, evaluated_claims: Sequence[EvaluatedClaim]) -> UntrustedSignerError:
    """Return the error for an image that only unknown keys signed, or nobody validly."""
    reasons = "; ".join(sorted({item.problem for item in evaluated_claims})[:5])
    fingerprints = _named_fingerprints(evaluated_claims)
    hint = "run 'pumice trust list' to see the trusted keys"
    if fingerprints:
        hint = f"if you trust its owner: pumice trust add --prefix PREFIX KEY --fingerprint {fingerprints[0]}"
        reasons = f"{reasons} (key {', '.join(fingerprints)})"
    if any(item.claim.certified for item in evaluated_claims):
        from pumice.trust import keyless

        hint = keyless.installation_hint() if keyless.MISSING in reasons else hint
    error = UntrustedSignerError(f"the image has no valid signature: {reasons}", where=where, hint=hint)
    error.fingerprints = fingerprints
    return error


def _named_fingerprints(evaluated_claims: Sequence[EvaluatedClaim]) -> tuple[str, ...]:
    """Return the fingerprints of the unknown keys that the claims name, signatures first.

    A claim can name any key: whoever trusts one must compare the fingerprint with the key's owner.
    """
    claims_first = sorted(evaluated_claims, key=lambda item: not item.claim.is_signature)
    fingerprints = [
        fingerprint
        for item in claims_first
        if item.trusted_key is None
        for fingerprint in item.claim.named_fingerprints
    ]
    return tuple(dict.fromkeys(fingerprints))[:_MAX_NAMES]


def find_mismatch(policy: Any, predicate: Any) -> str:
    """Return the path at which ``predicate`` does not match ``policy``; "" if it matches.

    An object must have the policy's keys with matching values, a list must have a matching element for
    each of the policy's, and other values must be equal.
    """
    if isinstance(policy, dict):
        if not isinstance(predicate, dict):
            return "."
        for key, value in policy.items():
            if key not in predicate:
                return f".{key}"
            if nested_path := find_mismatch(value, predicate[key]):
                return f".{key}{nested_path if nested_path != '.' else ''}"
        return ""
    if isinstance(policy, list):
        if not isinstance(predicate, list):
            return "."
        for number, value in enumerate(policy):
            if all(find_mismatch(value, element) for element in predicate):
                return f"[{number}]"
        return ""
    return "" if type(policy) is type(predicate) and policy == predicate else "."


def describe_key(trusted_key: TrustedKey) -> str:
    """Return the label and short fingerprint of a key, for messages."""
    return (
        f"{trusted_key.label} ({trusted_key.key.fingerprint[:16]})"
        if trusted_key.label
        else trusted_key.key.fingerprint[:16]
    )
