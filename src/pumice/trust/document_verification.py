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
    from pumice.trust.image_verification import EvaluatedClaim
    from pumice.trust.policy_files import PolicyDirectory
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
    attestations = [
        evaluated
        for evaluated in image_verification.evaluate_claims(
            image, home, name_policy.keys, expected=name_policy.name, now=now
        )
        if not evaluated.problem and evaluated.claim.predicate_type == uri
    ]
    attesting_keys = _find_attesting_keys(attestations, payload)
    if signers.count_signers(attesting_keys, name_policy.keys) >= name_policy.threshold:
        return attesting_keys
    if (attesting_keys or not attestations) and _is_own_document(image, artifact, home):
        return attesting_keys  # built here; attestations by too few keys do no harm
    if attestations and not attesting_keys:
        text = "the attached document is not the document that was signed"
    else:
        text = f"the document is attested by {len(attesting_keys)} of {name_policy.threshold} required keys"
    raise TrustError(text, where=artifact.digest, hint="to read the layers instead, pass --scan")


def _find_attesting_keys(attestations: Sequence[EvaluatedClaim], payload: bytes) -> tuple[TrustedKey, ...]:
    """Return the keys, each once, whose attestations state ``payload``."""
    attesting_keys: dict[str, TrustedKey] = {}
    for attestation in attestations:
        trusted_key = attestation.trusted_key
        if (
            trusted_key
            and trusted_key.key.fingerprint not in attesting_keys
            and _states(attestation.claim, payload)
        ):
            attesting_keys[trusted_key.key.fingerprint] = trusted_key
    return tuple(attesting_keys.values())


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
