"""Which images a tag of a registry server may point to: the purpose ``tag`` of `admission.admit`.

The image must be signed under a name that belongs to the repository, and with a version that the tag can
represent. A tag never moves back to an older image.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pumice.errors import PumiceError, StoreError, TrustError
from pumice.trust import claims, image_mirrors, image_names, image_verification, policy, rollback
from pumice.trust.decision import AdmissionRequest, Check, Decision

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.image.model import Image
    from pumice.store.home import Home
    from pumice.trust.image_verification import VerifiedImage
    from pumice.trust.policy_files import PolicyDirectory
    from pumice.trust.rollback import PendingRecord

_FULL_VERSION = re.compile(r"v?[0-9]+(?:\.[0-9].*|[-_.].*)?")
"""Tags that are a version; ``1a2b3c4`` is not."""
_MAX_NAMES = 5
"""Names or versions that one message lists."""


def decide_tags(
    image: Image,
    home: Home,
    request: AdmissionRequest,
    directories: Sequence[PolicyDirectory],
    *,
    now: int,
) -> Decision:
    """Return the decision that every tag of the request may point to the image, without recording it.

    ``home`` has the records of what each tag pointed to. Raises PumiceError if one tag may not.
    """
    admitted = [_decide_tag(image, home, request.repository, tag, directories, now) for tag in request.tags]
    verified = admitted[0][0]
    records = tuple(record for _, record in admitted if record is not None)
    return Decision(
        digest=verified.digest,
        name=verified.name,
        expected=verified.name,
        threshold=verified.threshold,
        signatures=verified.signatures,
        rejected=verified.rejected,
        checks=(
            Check("signature", True, "signed by a trusted key"),
            Check("name", True, f"{verified.name or 'an image without a name'} is for {request.repository}"),
            Check("freshness", bool(records), "no tag moves back to an older image"),
        ),
        records=records,
    )


def _decide_tag(
    image: Image,
    home: Home,
    repository: str,
    tag: str,
    directories: Sequence[PolicyDirectory],
    now: int,
) -> tuple[VerifiedImage, PendingRecord | None]:
    """Return the verified image and what to record of the tag; raises PumiceError if it is not admitted."""
    errors: list[PumiceError] = []
    for name in _candidate_names(image, repository, directories):
        try:
            verified = _verify_with_policy(image, name, directories, now)
            version = _signed_version(image, verified, name, tag)
            if version and name:  # the required keys must have signed this version, not just any
                verified = _verify_with_policy(image, f"{name}:{version}", directories, now)
            return verified, _check_tag_rollback(image, verified.signed_at, repository, tag, version, home)
        except StoreError:
            raise
        except PumiceError as error:
            errors.append(error)
    raise errors[0]


def _candidate_names(image: Image, repository: str, directories: Sequence[PolicyDirectory]) -> list[str]:
    """Return the names, without versions, under which an image may enter a repository.

    These are the names of its signatures, verified or not, that belong to the repository: its path after
    any host, because a registry has many host names, or the target of a mirror rule. The name "" means
    an image without any name, which keys that are trusted for every name may sign. Raises TrustError.
    """
    signed_names = {
        name for claim in claims.read_claims(image, None, signatures_only=True) for name in claim.names
    }
    all_names = {
        image_names.split_name(name)[0] for name in (*signed_names, image_names.declared_name(image)) if name
    }
    if not all_names:
        return [""]
    candidates = [name for name in sorted(all_names) if repository in (name, name.partition("/")[2])]
    candidates += [
        name
        for name in _mirrored_names(repository, directories)
        if name in all_names and name not in candidates
    ]
    if candidates:
        return candidates
    if not signed_names:
        return sorted(all_names)  # verification then explains that the signature is missing
    raise TrustError(
        f"the image is signed as {_join(all_names)}, not as {repository}",
        hint="to allow it, run 'pumice trust mirror HOST/REPOSITORY NAME'",
    )


def _mirrored_names(repository: str, directories: Sequence[PolicyDirectory]) -> Iterator[str]:
    """Yield the names of the repository's images by the mirror rules, for any host of the registry."""
    for prefix, target in image_mirrors.read_mirrors(directories).items():
        for path in (prefix, prefix.partition("/")[2]):
            if path and f"{repository}/".startswith(f"{path}/"):
                yield target + repository[len(path) :]


def _signed_version(image: Image, verified: VerifiedImage, name: str, tag: str) -> str:
    """Return the signed version that a tag may represent, "" if none is signed; raises TrustError."""
    signed_names = [
        image_names.split_name(signed_name)
        for signature in verified.signatures
        for signed_name in signature.claim.names
    ]
    if not name and signed_names:
        raise TrustError("the image is signed under another name")
    versions = {version for signed_name, version in signed_names if signed_name == name and version}
    declared_version = image_names.read_annotations(image).get(image_names.VERSION, "")
    if declared_version and not versions:
        versions = {declared_version}  # the signed digest covers the annotation
    if not versions or tag in versions:
        return tag if versions else ""
    matching = sorted(version for version in versions if can_move_to(tag, version))
    if not matching:
        raise TrustError(f"the signed version is {_join(versions)}, and the tag is {tag}")
    return matching[-1]


def can_move_to(tag: str, version: str) -> bool:
    """Return whether a tag may point to different versions over time, ``version`` among them.

    Words (``latest``) may, and the first components of a version (``1.2`` for ``1.2.3``).
    """
    if not _FULL_VERSION.fullmatch(tag):
        return True
    partial_version, full_version = tag.removeprefix("v"), version.removeprefix("v")
    return full_version.startswith((f"{partial_version}.", f"{partial_version}-", f"{partial_version}_"))


def _check_tag_rollback(
    image: Image, signed_at: int, repository: str, tag: str, version: str, home: Home
) -> PendingRecord | None:
    """Return what to record; raises TrustError if the tag would move back to an older image."""
    name = f"{repository}/{tag}"
    if not version:
        versions = [record.version for record in rollback.read_accepted(name, home) if record.version != tag]
        if versions:
            raise TrustError(f"the image has no version, and the tag has pointed to {versions[0]}")
    return rollback.check_rollback(image, f"{name}:{version or tag}", home, signed_at=signed_at)


def _verify_with_policy(
    image: Image, name: str, directories: Sequence[PolicyDirectory], now: int
) -> VerifiedImage:
    name_policy = policy.read_name_policy(name, directories)
    return image_verification.verify_image(
        image,
        None,
        name_policy.keys,
        expected=name_policy.name,
        now=now,
        threshold=name_policy.threshold,
        signatures_only=True,
    )


def _join(names: set[str]) -> str:
    return " and ".join(sorted(names)[:_MAX_NAMES])
