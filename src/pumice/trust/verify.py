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
from pumice.trust import claims, keys, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pumice.digest import Digest
    from pumice.image.model import Image
    from pumice.store.home import Home
    from pumice.trust.claims import Claim
    from pumice.trust.keys import PublicKey


class TrustedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key and the rule by which it counts.

    ``expires`` is seconds since the epoch, 0 for never; ``revoked`` says since when or why.
    """

    key: PublicKey
    rule: str
    label: str = ""
    expires: int = 0
    revoked: str = ""
    replaces: str = ""
    """The fingerprint of the key whose place this takes: both together are one signer."""

    @property
    def kind(self) -> str:
        """What it is called in a sentence: a key, or an identity that takes the place of one."""
        return "identity" if self.key.kind == "identity" else "key"

    def trouble(self, now: int) -> str:
        """Say why the key does not count at ``now``; "" if it does."""
        if self.revoked:
            return f"is revoked ({self.revoked})"
        if self.expires and self.expires <= now:
            return f"has expired on {day(self.expires)}"
        return ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A claim, who made it (None: nobody who is known), and why it does not count ("": it does)."""

    claim: Claim
    by: TrustedKey | None = None
    problem: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about an image that is trusted."""

    digest: Digest
    name: str
    built_here: bool = False
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
    found = examine(image, home, trusted, expected=name, now=now, signatures_only=signatures_only)
    good = [one for one in found if not one.problem and one.claim.is_signature]
    signed = [one.by for one in good if one.by]
    if len(signers(signed, trusted)) < max(1, threshold):
        found = examine(image, home, trusted, expected=name, now=now)
        raise _refusal(image, found, signed, trusted, threshold, now)
    return Verdict(
        digest=image.root.digest,
        name=expected or names.own(image) or _name(good),
        signatures=tuple(good),
        threshold=threshold,
        attestations=tuple(one for one in found if not one.problem and not one.claim.is_signature),
        others=tuple(one for one in found if one.problem),
    )


def examine(
    image: Image,
    home: Home | None,
    trusted: Sequence[TrustedKey],
    *,
    expected: str,
    now: int,
    signatures_only: bool = False,
) -> list[Finding]:
    """Return every claim about an image with who made it and whether it counts."""
    own = names.own(image)
    also = [one for one in (own, image.known_as) if one]
    found: list[Finding] = []
    read = [*claims.read(image, home, signatures_only=signatures_only)]
    if image.archive is not None:  # else what reads OpenPGP is not even loaded
        from pumice.trust import detached

        read += detached.read(image, trusted, now=now)
    for claim in read:
        if not claim.names and own:  # the image's digest covers what it says of itself
            claim = msgspec.structs.replace(claim, names=(own,))  # noqa: PLW2901
        found += _judge(claim, image.root.digest, trusted, expected, also, now)
    return found


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
            problem = f"it is signed as {' and '.join(claim.names) or 'nothing'}, not as {expected}"
        findings.append(Finding(claim=claim, by=one, problem=problem))
    return findings


def _made(claim: Claim, one: TrustedKey) -> bool:
    if claim.makers is not None:
        return one.key.fingerprint in claim.makers
    return any(keys.holds(one.key, signature, claim.signed) for signature in claim.signatures)


def _name(good: Iterable[Finding]) -> str:
    stated = sorted({name for one in good for name in one.claim.names})
    return stated[0] if stated else ""


def signers(found: Iterable[TrustedKey], trusted: Sequence[TrustedKey]) -> set[str]:
    """Return who these keys are: one fingerprint for a key and all that took its place.

    Else somebody whose key was rotated would be two signers while the periods of both overlap.
    """
    older = {one.key.fingerprint: one.replaces for one in trusted if one.replaces}
    return {_first(one.key.fingerprint, older) for one in found}


def _first(fingerprint: str, older: Mapping[str, str]) -> str:
    seen: list[str] = []
    while fingerprint in older and fingerprint not in seen:
        seen.append(fingerprint)
        fingerprint = older[fingerprint]
    return min(seen[seen.index(fingerprint) :]) if fingerprint in seen else fingerprint


def _too_few(
    where: str, signed: Sequence[TrustedKey], trusted: Sequence[TrustedKey], threshold: int, now: int
) -> TrustError:
    """Say who signed, and who else could."""
    count = len(signers(signed, trusted))
    done = sorted({short(one) for one in signed})
    can = [one for one in trusted if not one.trouble(now)]
    done_by = signers(signed, trusted)
    missing = sorted({short(one) for one in can if not signers([one], trusted) <= done_by})
    hint = f"signatures of these count as well: {', '.join(missing)}"
    if len(signers(can, trusted)) < threshold:
        hint = f"no more than {len(signers(can, trusted))} signers are trusted for this name at all"
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


def day(moment: int) -> str:
    """Return the day of a time in seconds since the epoch, UTC."""
    import datetime

    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%d")
