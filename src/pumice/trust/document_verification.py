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
    image: Image,
    artifact: Descriptor,
    home: Home,
    directories: Sequence[PolicyDirectory],
    *,
    requested_name: str,
    now: int,
) -> tuple[TrustedKey, ...]:
    """Return the keys that attest an attached document; none, where no rule says whose word would count.

    ``image`` is what the document is about, ``asked`` the name it must have, "" for its own. What the
    store attached itself to what it built needs no key. Raises TrustError for a document that trusted keys
    do not attest.
    """
    name_policy = policy.read_name_policy(requested_name or image_names.declared_name(image), directories)
    if not name_policy.keys:
        return ()
    uri, payload = image_signing.build_statement(image, artifact, name_policy.name)
    is_attested = False
    signers_found: dict[str, TrustedKey] = {}
    for evaluated in image_verification.evaluate_claims(
        image, home, name_policy.keys, expected=name_policy.name, now=now
    ):
        if evaluated.problem or evaluated.claim.predicate_type != uri:
            continue
        is_attested = True
        if (
            evaluated.trusted_key
            and evaluated.trusted_key.key.fingerprint not in signers_found
            and _states(evaluated.claim, payload)
        ):
            signers_found[evaluated.trusted_key.key.fingerprint] = evaluated.trusted_key
    if signers.count_signers(signers_found.values(), name_policy.keys) >= name_policy.threshold:
        return tuple(signers_found.values())
    if (signers_found or not is_attested) and _is_own_document(image, artifact, home):
        return tuple(
            signers_found.values()
        )  # what was built here needs nobody's word, and too few do no harm
    if is_attested and not signers_found:
        text = "the document that is attached to the image is not the one that was signed"
    else:
        text = f"{len(signers_found)} of the {name_policy.threshold} trusted keys that are needed attest the document"
    raise TrustError(text, where=artifact.digest, hint="read the layers instead: --scan")


def _is_own_document(image: Image, artifact: Descriptor, home: Home) -> bool:
    subject = image.root.digest
    return home.built.has(subject) and artifact.digest in {one.digest for one in home.referrers.get(subject)}


def _states(claim: Claim, payload: bytes) -> bool:
    """Whether a claim's statement is ``payload``, perhaps spelled in another way."""
    if claim.signed == dsse.encode_pae(dsse.IN_TOTO, payload):
        return True
    try:
        predicate: Any = claim.predicate
        return bool(predicate == intoto.read_statement(payload).predicate)
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
    problems: dict[Digest, list[str]] = {}
    limit = budget.Budget()
    members = [one for one, _ in image.members()]
    for descriptor in (image.root, *members):
        evaluated_claims = image_verification.evaluate_claims(
            image.at(descriptor), home, trusted, expected=expected, now=now, budget=limit
        )
        problems[descriptor.digest] = [
            check(one.claim)
            for one in evaluated_claims
            if not one.problem and one.claim.predicate_type == uri
        ]
        if descriptor is image.root and problems[descriptor.digest]:
            return {descriptor.digest: problems[descriptor.digest]}
    if image.is_index():
        del problems[image.root.digest]
    return problems
