"""Verifying the documents that are attached to an image: a document could have been replaced."""

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
    """Return the trusted keys that attest an attached document; empty if the policy trusts no key.

    ``image`` is the document's subject and ``requested_name`` the name it must be signed as, "" for the
    declared one. A document that this store attached to an image that it built needs no key. Raises
    TrustError for a document that too few trusted keys attest.
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
        return tuple(signers_found.values())  # built here; attestations by too few keys do no harm
    if is_attested and not signers_found:
        text = "the attached document is not the document that was signed"
    else:
        text = f"the document is attested by {len(signers_found)} of {name_policy.threshold} required keys"
    raise TrustError(text, where=artifact.digest, hint="to read the layers instead, pass --scan")


def _is_own_document(image: Image, artifact: Descriptor, home: Home) -> bool:
    subject = image.root.digest
    referrers = {referrer.digest for referrer in home.referrers.get(subject)}
    return home.build_marks.has(subject) and artifact.digest in referrers


def _states(claim: Claim, payload: bytes) -> bool:
    """Return whether a claim states ``payload``, possibly in another JSON encoding."""
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
    """Return the problems that ``check`` finds in the trusted attestations of a type, "" for none.

    The key is the digest of the manifest that the attestations are about: the root if it has any, else
    each platform's manifest. All attestations share one budget.
    """
    problems: dict[Digest, list[str]] = {}
    limit = budget.Budget()
    members = [descriptor for descriptor, _ in image.members()]
    for descriptor in (image.root, *members):
        evaluated_claims = image_verification.evaluate_claims(
            image.at(descriptor), home, trusted, expected=expected, now=now, budget=limit
        )
        problems[descriptor.digest] = [
            check(evaluated.claim)
            for evaluated in evaluated_claims
            if not evaluated.problem and evaluated.claim.predicate_type == uri
        ]
        if descriptor is image.root and problems[descriptor.digest]:
            return {descriptor.digest: problems[descriptor.digest]}
    if image.is_index():
        del problems[image.root.digest]
    return problems
