"""Whether a document that is attached to an image is the one that was signed: it could have been swapped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pumice.errors import PumiceError, TrustError
from pumice.formats import dsse, intoto
from pumice.trust import budget, image_names, image_signing, image_verification, policy, signers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.image.model import Image
    from pumice.store.home import Home
    from pumice.trust.claims import Claim
    from pumice.trust.policy import PolicyDirectory
    from pumice.trust.trusted_key import TrustedKey


def verify_document(
    image: Image, artifact: Descriptor, home: Home, levels: Sequence[PolicyDirectory], *, asked: str, now: int
) -> tuple[TrustedKey, ...]:
    """Return the keys that attest an attached document; none, where no rule says whose word would count.

    ``image`` is what the document is about, ``asked`` the name it must have, "" for its own. What the
    store attached itself to what it built needs no key. Raises TrustError for a document that trusted keys
    do not attest.
    """
    decision = policy.read_name_policy(asked or image_names.declared_name(image), levels)
    if not decision.keys:
        return ()
    uri, payload = image_signing.build_statement(image, artifact, decision.name)
    stated = False
    found: dict[str, TrustedKey] = {}
    for one in image_verification.evaluate_claims(
        image, home, decision.keys, expected=decision.name, now=now
    ):
        if one.problem or one.claim.predicate_type != uri:
            continue
        stated = True
        if one.trusted_key and one.trusted_key.key.fingerprint not in found and _states(one.claim, payload):
            found[one.trusted_key.key.fingerprint] = one.trusted_key
    if signers.count_signers(found.values(), decision.keys) >= decision.threshold:
        return tuple(found.values())
    if (found or not stated) and _is_own_document(image, artifact, home):
        return tuple(found.values())  # what was built here needs nobody's word, and too few do no harm
    if stated and not found:
        text = "the document that is attached to the image is not the one that was signed"
    else:
        text = f"{len(found)} of the {decision.threshold} trusted keys that are needed attest the document"
    raise TrustError(text, where=artifact.digest, hint="read the layers instead: --scan")


def _is_own_document(image: Image, artifact: Descriptor, home: Home) -> bool:
    about = image.root.digest
    return home.build_marks.has(about) and artifact.digest in {
        one.digest for one in home.referrers.get(about)
    }


def _states(claim: Claim, payload: bytes) -> bool:
    """Whether a claim's statement is ``payload``, perhaps spelled in another way."""
    if claim.signed == dsse.encode_pae(dsse.IN_TOTO, payload):
        return True
    try:
        told: Any = claim.predicate
        return bool(told == intoto.read_statement(payload).predicate)
    except PumiceError:
        return False


def check_attestations(
    image: Image,
    home: Home,
    trusted: Sequence[TrustedKey],
    uri: str,
    *,
    expected: str,
    now: int,
    check: Callable[[Claim], str] = lambda _: "",
) -> dict[Digest, list[str]]:
    """Return what ``check`` says of each attestation of a type that counts, "" for nothing to object to.

    Of those about the root if there are any, else about each platform's manifest. All are read within
    one budget.
    """
    found: dict[Digest, list[str]] = {}
    limit = budget.Budget()
    members = [one for one, _ in image.members()]
    for descriptor in (image.root, *members):
        known = image_verification.evaluate_claims(
            image.at(descriptor), home, trusted, expected=expected, now=now, budget=limit
        )
        found[descriptor.digest] = [
            check(one.claim) for one in known if not one.problem and one.claim.predicate_type == uri
        ]
        if descriptor is image.root and found[descriptor.digest]:
            return {descriptor.digest: found[descriptor.digest]}
    if image.is_index():
        del found[image.root.digest]
    return found
