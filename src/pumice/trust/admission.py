"""The one entrance for images: every command that uses an image calls `admit` first.

An image that this store built may be run from it without a signature. That takes one lookup and loads
no code for keys. Every other image must be signed by trusted keys under the requested name, and must
not be older than the images that were admitted before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import TrustError
from pumice.trust.decision import BUILT_HERE, AdmissionRequest, Check, Decision, Purpose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pumice.digest import Digest
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.store.home import Home
    from pumice.trust.freshness import Freshness
    from pumice.trust.image_verification import VerifiedImage
    from pumice.trust.policy_files import PolicyDirectory
    from pumice.trust.trusted_key import TrustedKey
    from pumice.trust.unsigned_images import AcceptedImage, UnsignedImage

__all__ = [
    "BUILT_HERE",
    "AdmissionRequest",
    "Check",
    "Decision",
    "Purpose",
    "admit",
    "decide",
    "is_exempt",
    "record_decision",
]


def admit(
    image: Image,
    purpose: Purpose,
    home: Home,
    request: AdmissionRequest,
    *,
    progress: Progress,
    environ: Mapping[str, str] | None = None,
    directories: Sequence[PolicyDirectory] | None = None,
    now: int | None = None,
    insecure: bool = False,
    confirm: Callable[[UnsignedImage], bool] | None = None,
    inspect: Callable[[Decision], Sequence[Check]] | None = None,
) -> Decision:
    """Return the decision to use an image and record it; raises TrustError if the image is not admitted.

    The policy is in ``directories``, by default in those that ``environ`` names. ``now`` is in seconds
    since the epoch, by default the machine's clock. ``insecure`` admits every image, with a warning.
    ``confirm`` asks a person whether to accept an image that nobody signed; the answer is remembered.
    ``inspect`` makes further checks before anything is recorded, and raises PumiceError if one fails.
    """
    # Another name than the one that it was built as is refused, unless every image is admitted.
    if is_exempt(image, purpose, home) and (_is_built_as(image, request) or not insecure):
        return _admit_built_here(image, request)
    if insecure:
        progress.warn(f"{request.reference}: signatures are not verified (--allow-unsigned)")
        return Decision(digest=image.root.digest, name=request.name)
    if directories is None:
        directories = _default_directories(environ or {})
    if now is None:
        now = _read_clock()
    decision = _decide_or_ask(image, purpose, home, request, directories, now, confirm)
    if decision is None:  # a person accepted the image, which cannot be remembered
        return Decision(digest=image.root.digest, name=request.name)
    if inspect is not None:
        decision = msgspec.structs.replace(decision, checks=(*decision.checks, *inspect(decision)))
    if decision.warning:
        progress.warn(decision.warning)
    record_decision(decision, home)
    return decision


def _default_directories(environ: Mapping[str, str]) -> Sequence[PolicyDirectory]:
    from pumice.trust import policy

    return policy.policy_directories(environ)


def _read_clock() -> int:
    from pumice.clock import SystemClock

    return SystemClock().now()


def _decide_or_ask(
    image: Image,
    purpose: Purpose,
    home: Home,
    request: AdmissionRequest,
    directories: Sequence[PolicyDirectory],
    now: int,
    confirm: Callable[[UnsignedImage], bool] | None,
) -> Decision | None:
    """Return the decision, after ``confirm`` for an unsigned image; None if that cannot be remembered."""
    from pumice.trust.unsigned_images import UnsignedImageError, confirm_and_accept

    question = (image, purpose, home, request, directories)
    try:
        return decide(*question, now=now, signatures_only=purpose != "verify")
    except UnsignedImageError as error:
        if confirm_and_accept(error, confirm, directories, now=now) is None:
            return None
    return decide(*question, now=now, signatures_only=purpose != "verify")


def is_exempt(image: Image, purpose: Purpose, home: Home) -> bool:
    """Return whether an image needs no signature because it is run from the store that built it.

    An image from a registry, a layout or an archive is never exempt: under the requested name or digest
    there may be another image of ours than the intended one.
    """
    return purpose == "run" and image.blobs is home.blobs and home.build_marks.has(image.root.digest)


def _is_built_as(image: Image, request: AdmissionRequest) -> bool:
    from pumice.trust import image_names

    return not request.name or image_names.matches(image_names.declared_name(image), request.name)


def _admit_built_here(image: Image, request: AdmissionRequest) -> Decision:
    if not _is_built_as(image, request):
        from pumice.trust import image_names

        declared_name = image_names.declared_name(image) or "an image without a name"
        raise TrustError(
            f"the image was built here as {declared_name}, not as {request.name}",
            where=image.root.digest,
            hint="to use it anyway, pass --allow-unsigned before its name",
        )
    return Decision(
        digest=image.root.digest,
        name=request.name or request.reference,
        built_here=True,
        checks=(Check("signature", False, BUILT_HERE), Check("freshness", False, BUILT_HERE)),
    )


def decide(
    image: Image,
    purpose: Purpose,
    home: Home,
    request: AdmissionRequest,
    directories: Sequence[PolicyDirectory],
    *,
    now: int,
    signatures_only: bool = False,
) -> Decision:
    """Return the decision by the policy or by the keys of the request, without recording it.

    With ``signatures_only`` attestations are read only to explain why an image is not admitted. Raises
    TrustError with the reason why the image is not admitted.
    """
    if purpose == "tag":
        from pumice.trust import tag_admission

        return tag_admission.decide_tags(image, home, request, directories, now=now)
    from pumice.trust.freshness import Freshness, check_freshness
    from pumice.trust.unsigned_images import UnsignedImageError

    requirement = _read_requirement(image, home, request, directories)
    built_here = home.build_marks.has(image.root.digest)
    try:
        verified = _verify(image, home, requirement, now=now, signatures_only=signatures_only)
    except TrustError as error:
        is_waived = is_exempt(image, purpose, home) or (request.allow_built_here and built_here)
        if is_waived and _declares(image, requirement.expected):
            return _decide_built_here(image, home, requirement, now)
        if isinstance(error, UnsignedImageError) and purpose in ("run", "pull"):
            return _decide_unsigned(image, purpose, request, requirement, directories)
        raise error from None
    if is_exempt(image, purpose, home):
        freshness = Freshness(Check("freshness", False, BUILT_HERE))
    else:
        freshness = check_freshness(image, verified, home, request)
    return _decide_verified(verified, requirement, freshness, built_here=built_here)


def record_decision(decision: Decision, home: Home) -> None:
    """Store the image as the one that later images of its name are compared with.

    Raises TrustError if another process admitted a newer image since the decision.
    """
    if decision.records:
        from pumice.trust import rollback

        for record in decision.records:
            rollback.record_accepted(record.image, home, compared=record.compared)


class _Requirement(msgspec.Struct, frozen=True):
    """The keys of which ``threshold`` must have signed an image as ``expected`` ("": any name)."""

    keys: tuple[TrustedKey, ...]
    expected: str
    threshold: int
    is_policy: bool


def _read_requirement(
    image: Image, home: Home, request: AdmissionRequest, directories: Sequence[PolicyDirectory]
) -> _Requirement:
    from pumice.trust import image_mirrors, image_names, policy

    name = request.name or image_names.requested_name(request.reference, home, image)
    if request.keys is None:
        name_policy = policy.read_name_policy(name or image_names.declared_name(image), directories)
        return _Requirement(name_policy.keys, name_policy.name, name_policy.threshold, True)
    is_mirrored = image.registry_name and not request.name
    expected = image_mirrors.resolve_mirror(name, directories) if is_mirrored else name
    return _Requirement(request.keys, expected, 1, False)


def _verify(
    image: Image, home: Home, requirement: _Requirement, *, now: int, signatures_only: bool
) -> VerifiedImage:
    """Return the verified image; raises TrustError with a hint about the policy."""
    from pumice.trust import image_verification
    from pumice.trust.unsigned_images import UnsignedImageError

    expected = requirement.expected
    try:
        return image_verification.verify_image(
            image,
            home,
            requirement.keys,
            expected=expected,
            now=now,
            threshold=requirement.threshold,
            signatures_only=signatures_only,
        )
    except TrustError as error:
        if isinstance(error, UnsignedImageError):
            raise
        from pumice.trust import admission_hints

        hint = error.hint
        if requirement.is_policy and not requirement.keys:
            hint = admission_hints.suggest_key(expected, getattr(error, "fingerprints", ()))
        hint = admission_hints.suggest_name(hint, image, expected)
        raise TrustError(error.message, where=error.where, hint=hint) from None


def _decide_unsigned(
    image: Image,
    purpose: Purpose,
    request: AdmissionRequest,
    requirement: _Requirement,
    directories: Sequence[PolicyDirectory],
) -> Decision:
    """Return the decision about an image that nobody signed, if a person accepted it.

    Raises UnsignedImageError, with the image only if a person may accept it: not if a key is trusted for its
    name, because then somebody may have removed the signature.
    """
    from pumice.formats import platforms
    from pumice.trust import image_names, unsigned_images

    digest, expected = image.root.digest, requirement.expected
    name = expected or image_names.declared_name(image)
    option = "--allow-unsigned before its name" if purpose == "run" else "--allow-unsigned"
    if requirement.keys:
        error = unsigned_images.UnsignedImageError(
            f"the image is not signed, although keys are trusted for {name or 'it'}",
            where=digest,
            hint=f"ask its publisher for a signed image; to use it anyway, pass {option}",
        )
        raise error
    accepted = unsigned_images.find_accepted(digest, directories) if requirement.is_policy else None
    if accepted is not None and accepted.covers(expected):
        return _decide_accepted(accepted, digest, name, expected)
    error = unsigned_images.UnsignedImageError(
        "the image is not signed", where=digest, hint=f"to use it without a signature, pass {option}"
    )
    error.image = unsigned_images.UnsignedImage(
        digest=digest,
        name=expected,
        reference=request.reference,
        platforms=tuple(platforms.format_platform(platform) for platform in image.platforms()),
    )
    raise error


def _decide_accepted(accepted: AcceptedImage, digest: Digest, name: str, expected: str) -> Decision:
    detail = f"nobody signed the image; accepted on {accepted.accepted} ({accepted.path})"
    freshness = Check("freshness", False, "nobody signed the image")
    return Decision(
        digest=digest,
        name=name,
        expected=expected,
        checks=(Check("signature", False, detail), freshness),
    )


def _declares(image: Image, expected: str) -> bool:
    from pumice.trust import image_names

    return not expected or image_names.matches(image_names.declared_name(image), expected)


def _decide_verified(
    verified: VerifiedImage, requirement: _Requirement, freshness: Freshness, *, built_here: bool
) -> Decision:
    return Decision(
        digest=verified.digest,
        name=verified.name,
        expected=requirement.expected,
        built_here=built_here,
        keys=requirement.keys,
        threshold=verified.threshold,
        signatures=verified.signatures,
        attestations=verified.attestations,
        rejected=verified.rejected,
        checks=(_signature_check(verified), _name_check(verified, requirement.expected), freshness.check),
        records=freshness.records,
        warning=freshness.warning,
    )


def _decide_built_here(image: Image, home: Home, requirement: _Requirement, now: int) -> Decision:
    """Return the decision about an image that was built here and is not signed by enough trusted keys."""
    from pumice.trust import claims, image_names, image_verification

    evaluated = [
        msgspec.structs.replace(evaluation, claim=claims.without_content(evaluation.claim))
        for evaluation in image_verification.evaluate_claims(
            image, home, requirement.keys, expected=requirement.expected, now=now
        )
    ]
    valid = [evaluation for evaluation in evaluated if not evaluation.problem]
    name = requirement.expected or image_names.declared_name(image)
    name_detail = f"the image declares the name {name}" if name else "the image declares no name"
    return Decision(
        digest=image.root.digest,
        name=name,
        expected=requirement.expected,
        built_here=True,
        keys=requirement.keys,
        threshold=requirement.threshold,
        signatures=tuple(evaluation for evaluation in valid if evaluation.claim.is_signature),
        attestations=tuple(evaluation for evaluation in valid if not evaluation.claim.is_signature),
        rejected=tuple(evaluation for evaluation in evaluated if evaluation.problem),
        checks=(
            Check("signature", False, BUILT_HERE),
            Check("name", bool(name), name_detail),
            Check("freshness", False, BUILT_HERE),
        ),
    )


def _signature_check(verified: VerifiedImage) -> Check:
    if verified.threshold > 1:
        return Check("signature", True, f"signed by at least {verified.threshold} trusted signers")
    return Check("signature", True, "signed by a trusted key")


def _name_check(verified: VerifiedImage, expected: str) -> Check:
    if expected:
        return Check("name", True, f"signed as {expected}")
    if verified.name:
        return Check("name", True, f"signed as {verified.name}; no other name was requested")
    return Check("name", False, "neither the reference nor the image has a name")
