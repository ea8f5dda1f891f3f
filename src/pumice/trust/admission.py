"""The entrance for images: what runs, pulls or verifies an image asks here whether it may.

What this store built may be run from it without a signature; that takes one look-up, and nothing that
knows about keys is loaded. Everything else must be signed by trusted keys under the name by which it was
requested, and must not be older than what was accepted before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.errors import TrustError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.store.home import Home
    from pumice.trust.image_verification import EvaluatedClaim, VerifiedImage
    from pumice.trust.policy import PolicyDirectory
    from pumice.trust.rollback import AcceptedImage
    from pumice.trust.trusted_key import TrustedKey

Purpose = Literal["run", "pull", "verify"]
"""What an image is to be admitted for: to be run, to enter the store, or to be reported on."""

BUILT_HERE = "it was built here"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An image as it was asked for, and what may be waived.

    ``reference`` is the REF of the command line: a name in it must be what the image is signed as, unless
    ``name`` says otherwise. With ``keys`` these alone count, and no rule of the trust store.
    """

    reference: str = ""
    name: str = ""
    keys: tuple[TrustedKey, ...] | None = None
    allow_older: bool = False
    allow_built_here: bool = False
    """For `verify`: an image that this store built needs no signature."""


class Check(msgspec.Struct, frozen=True):
    """One thing that was checked, or skipped for the reason in ``detail``."""

    subject: Literal["signature", "name", "freshness", "content"]
    passed: bool
    detail: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """An image that may be used, and why: ``name`` is what it may be taken for."""

    digest: str
    name: str
    expected: str = ""
    """What it must be signed as, after mirrors; "" if nothing says so."""
    built_here: bool = False
    """Whether this store built it, whatever else speaks for it."""
    keys: tuple[TrustedKey, ...] = ()
    """The keys that count for the name."""
    threshold: int = 1
    signatures: tuple[EvaluatedClaim, ...] = ()
    attestations: tuple[EvaluatedClaim, ...] = ()
    others: tuple[EvaluatedClaim, ...] = ()
    """What does not count, with the reasons."""
    checks: tuple[Check, ...] = ()
    record: AcceptedImage | None = None
    """What later images of the name are compared with, once this one is used."""
    warning: str = ""


def admit(
    image: Image,
    purpose: Purpose,
    home: Home,
    request: Request,
    *,
    environ: Mapping[str, str],
    progress: Progress,
    insecure: bool = False,
) -> Decision:
    """Return the decision by which an image may be used, and record it; raises TrustError.

    ``insecure`` lets every image pass, with a warning.
    """
    if is_exempt(image, purpose, home):
        return _exempted(image, request)
    if insecure:
        progress.warn(
            f"nothing is checked of who made {request.reference}: --insecure-options=image lets any image in"
        )
        return Decision(digest=image.root.digest, name=request.name)
    from pumice.clock import SystemClock
    from pumice.trust import policy

    decision = judge(
        *(image, purpose, home, request, policy.policy_directories(environ)),
        now=SystemClock().now(),
        signatures_only=True,
    )
    if decision.warning:
        progress.warn(decision.warning)
    record(decision, home)
    return decision


def is_exempt(image: Image, purpose: Purpose, home: Home) -> bool:
    """Whether an image needs no signature: it is run from the store that built it.

    What a registry, a layout or an archive gives, under a name or a digest, may be another image of ours
    than the one that is meant, so it counts as anybody's.
    """
    return purpose == "run" and image.blobs is home.blobs and home.build_marks.has(image.root.digest)


def _exempted(image: Image, request: Request) -> Decision:
    if request.name:
        from pumice.trust import image_names

        own = image_names.declared_name(image)
        if not image_names.matches(own, request.name):
            sentence = f"the image was built here as {own or 'nothing'}, not as {request.name}"
            raise TrustError(sentence, where=image.root.digest)
    skipped = [Check(subject, False, BUILT_HERE) for subject in ("signature", "freshness")]
    return Decision(
        digest=image.root.digest,
        name=request.name or request.reference,
        built_here=True,
        checks=tuple(skipped),
    )


def judge(
    image: Image,
    purpose: Purpose,
    home: Home,
    request: Request,
    levels: Sequence[PolicyDirectory],
    *,
    now: int,
    signatures_only: bool = False,
) -> Decision:
    """Return the decision by the trust store's rules or by given keys; nothing is recorded.

    Raises TrustError that says why the image may not be used.
    """
    from pumice.trust import image_names, policy

    asked = request.name or image_names.requested_name(request.reference, home, image)
    built_here = home.build_marks.has(image.root.digest)
    if request.keys is None:
        rules = policy.read_name_policy(asked or image_names.declared_name(image), levels)
        keys, expected, threshold = rules.keys, rules.name, rules.threshold
    else:
        mirrored = image.known_as and not request.name
        expected = policy.resolve_mirror(asked, levels) if mirrored else asked
        keys, threshold = request.keys, 1
    try:
        verdict = _verify(
            image, home, keys, expected, threshold, now=now, ruled=request.keys is None, light=signatures_only
        )
    except TrustError as error:
        waived = is_exempt(image, purpose, home) or (request.allow_built_here and built_here)
        if not waived or not _fits_own(image, expected):
            raise error from None
        return _waived(image, home, keys, expected, threshold, now)
    checks = [_signature(verdict), _name(verdict, expected)]
    if built_here and is_exempt(image, purpose, home):
        checks.append(Check("freshness", False, BUILT_HERE))
        accepted, warning = None, ""
    else:
        accepted, warning, check = _freshness(image, verdict, home, allow_older=request.allow_older)
        checks.append(check)
    return Decision(
        digest=verdict.digest,
        name=verdict.name,
        expected=expected,
        built_here=built_here,
        keys=tuple(keys),
        threshold=verdict.threshold,
        signatures=verdict.signatures,
        attestations=verdict.attestations,
        others=verdict.rejected,
        checks=tuple(checks),
        record=accepted,
        warning=warning,
    )


def record(decision: Decision, home: Home) -> None:
    """Let later images of the name be compared with this one.

    Raises TrustError if another process accepted something newer since it was judged.
    """
    if decision.record is not None:
        from pumice.trust import rollback as accepted

        accepted.record_accepted(decision.record, home)


def _verify(
    image: Image,
    home: Home,
    keys: Sequence[TrustedKey],
    expected: str,
    threshold: int,
    *,
    now: int,
    ruled: bool,
    light: bool,
) -> VerifiedImage:
    from pumice.trust import image_verification

    try:
        return image_verification.verify_image(
            *(image, home, keys), expected=expected, now=now, threshold=threshold, signatures_only=light
        )
    except TrustError as error:
        hint = error.hint
        if ruled and not keys:
            hint = f"no key is trusted for {expected or 'it'}: pumice trust add --prefix PREFIX KEY"
        hint = _hint(hint, image, expected)
        raise TrustError(error.message, where=error.where, hint=hint) from None


def _fits_own(image: Image, expected: str) -> bool:
    from pumice.trust import image_names

    return not expected or image_names.matches(image_names.declared_name(image), expected)


def _waived(
    image: Image, home: Home, keys: Sequence[TrustedKey], expected: str, threshold: int, now: int
) -> Decision:
    """Return the decision on an image that was built here and that too few trusted keys signed."""
    from pumice.trust import claims, image_names, image_verification

    findings = [
        msgspec.structs.replace(one, claim=claims.without_content(one.claim))
        for one in image_verification.evaluate_claims(image, home, keys, expected=expected, now=now)
    ]
    good = [one for one in findings if not one.problem]
    name = expected or image_names.declared_name(image)
    return Decision(
        digest=image.root.digest,
        name=name,
        expected=expected,
        built_here=True,
        keys=tuple(keys),
        threshold=threshold,
        signatures=tuple(one for one in good if one.claim.is_signature),
        attestations=tuple(one for one in good if not one.claim.is_signature),
        others=tuple(one for one in findings if one.problem),
        checks=(
            Check("signature", False, BUILT_HERE),
            Check("name", bool(name), f"the image calls itself {name}" if name else "the image has none"),
            Check("freshness", False, BUILT_HERE),
        ),
    )


def _signature(verdict: VerifiedImage) -> Check:
    if verdict.threshold > 1:
        return Check("signature", True, f"made by {verdict.threshold} different trusted signers or more")
    return Check("signature", True, "made by a trusted key")


def _name(verdict: VerifiedImage, expected: str) -> Check:
    if expected:
        return Check("name", True, f"{expected} is what the signature names")
    if verdict.name:
        return Check("name", True, f"{verdict.name} is what the signature names; no other was requested")
    return Check("name", False, "neither the reference nor the image has one")


def _freshness(
    image: Image, verdict: VerifiedImage, home: Home, *, allow_older: bool
) -> tuple[AcceptedImage | None, str, Check]:
    """Return what to record, what to warn of, and the check; raises TrustError for an older image."""
    from pumice.trust import rollback as accepted

    try:
        found = accepted.check_rollback(image, verdict.name, home, signed=verdict.signed_at)
    except TrustError as error:
        if not allow_older:
            raise
        warning = f"{error.where}: {error.message}; it is allowed by --allow-older"
        return None, warning, Check("freshness", False, f"{error.message} (--allow-older)")
    if found is None:
        return None, "", Check("freshness", False, "the image has no version to compare")
    return found, "", Check("freshness", True, "no newer image of this name was accepted before")


def _hint(hint: str | None, image: Image, expected: str) -> str | None:
    """Return what to say of an image that a registry gave under a name that it is not signed as."""
    from pumice.trust import image_names

    if not expected or image.known_as != expected:
        return hint
    own = image_names.declared_name(image)
    if own:
        first = [hint] if hint and "--as" not in hint else []
        return "; ".join([*first, _meant(image, own)])
    return (
        hint or "what is signed without a name must be asked for by its digest: docker://HOST/REPO@sha256:…"
    )


def _meant(image: Image, own: str) -> str:
    """Say how an image of a registry is taken for what it calls itself."""
    from pumice.trust import image_names

    (name, version), (place, tag) = image_names.split_name(own), image_names.split_name(image.known_as)
    stem, slash, last = name.rpartition("/")
    folder = place.removesuffix(f"/{last}")
    if not slash or version != tag or folder == place:
        return f"if {own} is what you mean, say --as {own}"
    return f"if {own} is what you mean, say --as {own}, or once: pumice trust mirror {folder} {stem}"
