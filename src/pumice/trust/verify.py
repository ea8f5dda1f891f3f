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
from pumice.trust import claims, keys, names, signers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pumice.digest import Digest
    from pumice.image.model import Image
    from pumice.store.home import Home
    from pumice.trust.budget import Budget
    from pumice.trust.claims import Claim
    from pumice.trust.trusted import TrustedKey

_MOST_NAMES = 5


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A claim, who made it (None: nobody who is known), and why it does not count ("": it does)."""

    claim: Claim
    by: TrustedKey | None = None
    problem: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about an image that is trusted."""

    digest: Digest
    name: str
    signed: int = 0
    """When so many signers as are needed had signed, in seconds since the epoch; 0 if they do not say."""
    signatures: tuple[Finding, ...] = ()
    attestations: tuple[Finding, ...] = ()
    threshold: int = 1
    """How many different keys had to sign."""
    others: tuple[Finding, ...] = ()
    """What does not count, with the reasons."""


def verify(
    image: Image,
    home: Home | None,
    trusted: Sequence[TrustedKey],
    *,
    expected: str,
    now: int,
    threshold: int = 1,
    signatures_only: bool = False,
) -> Verdict:
    """Return the verdict on an image that ``threshold`` of the trusted keys signed as ``expected``.

    ``expected`` may be "" for an image whose name is not known: then it is the one it was signed as.
    With ``signatures_only`` attestations are not read unless it comes to saying why. Raises TrustError
    that says why the image is not trusted.
    """
    name = expected or names.own(image)
    findings = _slim(examine(image, home, trusted, expected=name, now=now, signatures_only=signatures_only))
    good = [one for one in findings if not one.problem and one.claim.is_signature]
    signed = [one.by for one in good if one.by]
    if signers.count(signed, trusted) < max(1, threshold):
        if signatures_only and not signed:
            limit = budgets.for_signatures()
            findings = _slim(examine(image, home, trusted, expected=name, now=now, budget=limit))
        raise _refusal(image, findings, signed, trusted, threshold, now)
    return Verdict(
        digest=image.root.digest,
        name=expected or names.own(image) or _name(good),
        signed=_signed(good, trusted, max(1, threshold)),
        signatures=tuple(good),
        threshold=threshold,
        attestations=tuple(one for one in findings if not one.problem and not one.claim.is_signature),
        others=tuple(one for one in findings if one.problem),
    )


def _slim(findings: Iterable[Finding]) -> list[Finding]:
    kept: list[Finding] = []
    for one in findings:
        kept.append(msgspec.structs.replace(one, claim=claims.slim(one.claim)))
        del one  # before the next one is read
    return kept


def _signed(good: Iterable[Finding], trusted: Sequence[TrustedKey], threshold: int) -> int:
    """Return since when enough signers had signed: one of several cannot make an image newer alone."""
    numbers = signers.groups(trusted)
    latest: dict[int, int] = {}
    for one in good:
        if one.by is not None:
            signer = numbers[one.by.key.fingerprint]
            latest[signer] = max(latest.get(signer, 0), one.claim.created)
    return sorted(latest.values(), reverse=True)[threshold - 1]


def examine(
    image: Image,
    home: Home | None,
    trusted: Sequence[TrustedKey],
    *,
    expected: str,
    now: int,
    signatures_only: bool = False,
    budget: Budget | None = None,
) -> Iterator[Finding]:
    """Yield every claim about an image with who made it and whether it counts.

    One at a time, because each may hold a bill of materials: keep what you need of it only.
    """
    own = names.own(image)
    also = [one for one in (own, image.known_as) if one]
    left = budget or (budgets.for_signatures() if signatures_only else budgets.Budget())
    for claim in _claims(image, home, trusted, left, now=now, signatures_only=signatures_only):
        if not claim.names and own:  # the image's digest covers what it says of itself
            claim = msgspec.structs.replace(claim, names=(own,))  # noqa: PLW2901
        yield from _judge(claim, image.root.digest, trusted, expected, also, now)
        del claim  # before the next one is read


def _claims(
    image: Image,
    home: Home | None,
    trusted: Sequence[TrustedKey],
    budget: Budget,
    *,
    now: int,
    signatures_only: bool,
) -> Iterator[Claim]:
    yield from claims.read(image, home, signatures_only=signatures_only, budget=budget)
    if image.archive is not None:  # else what reads OpenPGP is not even loaded
        from pumice.trust import detached

        yield from detached.read(image, trusted, now=now, budget=budget)


def _judge(
    claim: Claim, subject: Digest, trusted: Sequence[TrustedKey], expected: str, also: Sequence[str], now: int
) -> list[Finding]:
    """One finding for each trusted key that made the claim; one without a key if none did.

    Only signatures say what an image may be taken for, so what is attested of it may call it by any of
    ``also``: its own name, which its digest covers, and where it lies.
    """
    if claim.problem:
        return [Finding(claim=claim, problem=claim.problem)]
    if claim.subject != subject:
        return [Finding(claim=claim, problem=f"it is about another image, {claim.subject}")]
    makers = [one for one in trusted if _made(claim, one)]
    reason = "it is by none of the keys that are trusted for this name"
    if claim.certified and not makers:
        from pumice.trust import keyless

        makers, reason = keyless.makers(claim, trusted)
    if not makers:
        return [Finding(claim=claim, problem=reason)]
    wanted = [expected, *(() if claim.is_signature else also)]
    findings: list[Finding] = []
    for one in makers:
        problem = one.trouble(now)
        if problem:
            problem = f"its {one.kind} {short(one)} {problem}"
        elif expected and not any(names.fits(*pair) for pair in product(claim.names, wanted)):
            stated = " and ".join(claim.names[:_MOST_NAMES]) or "nothing"
            problem = f"it is signed as {stated}, not as {expected}"
        findings.append(Finding(claim=claim, by=one, problem=problem))
    return findings


def _made(claim: Claim, one: TrustedKey) -> bool:
    if claim.makers is not None:
        return one.key.fingerprint in claim.makers
    return any(keys.holds(one.key, signature, claim.signed) for signature in claim.signatures)


def _name(good: Iterable[Finding]) -> str:
    stated = sorted({name for one in good for name in one.claim.names})
    return stated[0] if stated else ""


def _too_few(
    where: str, signed: Sequence[TrustedKey], trusted: Sequence[TrustedKey], threshold: int, now: int
) -> TrustError:
    """Say who signed, and who else could."""
    count = signers.count(signed, trusted)
    done = sorted({short(one) for one in signed})
    can = [one for one in trusted if not one.trouble(now)]
    done_by = signers.numbers(signed, trusted)
    missing = sorted({short(one) for one in can if not signers.numbers([one], trusted) <= done_by})
    hint = f"signatures of these count as well: {', '.join(missing)}"
    if signers.count(can, trusted) < threshold:
        hint = f"no more than {signers.count(can, trusted)} signers are trusted for this name at all"
    return TrustError(
        f"the image is signed by {count} of the {threshold} keys that are needed: {', '.join(done)}",
        where=where,
        hint=hint,
    )


def _refusal(
    image: Image,
    found: Sequence[Finding],
    signed: Sequence[TrustedKey],
    trusted: Sequence[TrustedKey],
    threshold: int,
    now: int,
) -> TrustError:
    """Say the one thing that is nearest to a signature that would have counted."""
    where = image.root.digest
    if signed:
        return _too_few(where, signed, trusted, threshold, now)
    known = [one for one in found if one.by and one.claim.is_signature]
    if known:
        hint = None
        if known[0].claim.names and "not as" in known[0].problem:
            hint = f"if that is what you mean, say --as {known[0].claim.names[0]}"
        reasons = "; ".join(sorted({one.problem for one in known}))
        return TrustError(f"the image's signature does not count: {reasons}", where=where, hint=hint)
    if any(one.by and not one.problem for one in found):
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


def matches(policy: Any, predicate: Any) -> str:
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
            if below := matches(value, predicate[key]):
                return f".{key}{below if below != '.' else ''}"
        return ""
    if isinstance(policy, list):
        if not isinstance(predicate, list):
            return "."
        for number, value in enumerate(policy):
            if all(matches(value, item) for item in predicate):
                return f"[{number}]"
        return ""
    return "" if type(policy) is type(predicate) and policy == predicate else "."


def short(one: TrustedKey) -> str:
    """Return what to call a key in a sentence."""
    return f"{one.label} ({one.key.fingerprint[:16]})" if one.label else one.key.fingerprint[:16]
