"""Signing images, in formats that cosign 2, cosign 3, skopeo, podman and Pumice can verify.

An image is signed together with the documents that its build attached: SBOM and provenance. The
signatures are the same for the same key and image, and name the image by the recipe's ``name:version``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.errors import FormatError, TrustError, UsageError
from pumice.formats import intoto, oci, sigstore, strictjson
from pumice.trust import claims, image_names, keys, signing_time, sigstore_writer
from pumice.trust.sigstore_writer import SignableStatement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.image.model import Image
    from pumice.image.transports.locations import Attachment
    from pumice.store.home import Home
    from pumice.trust.claims import Claim
    from pumice.trust.keyless_signing import KeylessSigner
    from pumice.trust.keys import PrivateKey, PublicKey
    from pumice.trust.signing_time import SigningTime

_PREDICATE_TYPES = {
    "application/spdx+json": intoto.SPDX,
    "application/vnd.cyclonedx+json": intoto.CYCLONEDX,
    intoto.MEDIA_TYPE: intoto.PROVENANCE,
}
"""Predicate types of the documents that a build attaches, by artifact type."""
_BOTH_FORMS = {"cosign", "bundle"}


class Signer(msgspec.Struct, frozen=True):
    """A key whose private half is opened only when there is something to sign."""

    public_key: PublicKey
    open_private_key: Callable[[], PrivateKey]


class SigningResult(msgspec.Struct, frozen=True):
    """The signed image, the name in its signature, and whether a signature was added.

    ``fingerprint`` is that of the key, or the identity that signed without one. ``attested`` has the
    predicate types of the documents that were signed with it; ``manifests`` the digests of the manifests
    with the signatures, by the digest that they are about.
    """

    digest: Digest
    name: str
    fingerprint: str
    is_new: bool
    attested: tuple[str, ...] = ()
    manifests: dict[Digest, tuple[Digest, ...]] = {}


def check_signed_name(image: Image, requested_name: str = "") -> str:
    """Return the ``name:version`` to sign an image as; raises UsageError if it has none."""
    name = requested_name or image_names.declared_name(image)
    if not name:
        raise UsageError(
            "the image declares no name",
            hint="pass --as NAME:VERSION",
        )
    return image_names.check_name(name)


def sign_image(
    image: Image,
    location: Attachment,
    home: Home | None,
    signer: Signer,
    *,
    name: str = "",
    evidence: bool = True,
    time: SigningTime = signing_time.UNDATED,
) -> SigningResult:
    """Sign an image, and each platform's image of an index, as ``name`` or as the declared name.

    With ``evidence`` the documents that a build attached are attested as well. Existing signatures by this
    key under this name are kept unless ``time`` requires another time; if nothing is missing, the private
    key is not opened. Raises TrustError and FormatError for attached documents that are not valid.
    """
    name = check_signed_name(image, name)
    plans = list(_plan_signatures(image, home, signer.public_key, name, time, evidence=evidence))
    key = _open_key(signer) if any(plan.changes.missing for plan in plans) else None
    manifests: dict[Digest, tuple[Digest, ...]] = {}
    for plan in plans:
        changes = plan.changes
        manifest_digests = [*changes.manifests]
        if key and changes.missing:
            manifest_digests += sigstore_writer.write_signatures(
                plan.image, location, home, key, name, changes.missing, stale=changes.stale_entries
            )
        manifests[plan.image.root.digest] = tuple(dict.fromkeys(manifest_digests))
    if key:
        location.finish()
    attested = dict.fromkeys(predicate_type for plan in plans for predicate_type in plan.attested)
    return SigningResult(
        *(image.root.digest, name, signer.public_key.fingerprint, key is not None), tuple(attested), manifests
    )


def sign_image_keyless(
    image: Image,
    location: Attachment,
    home: Home | None,
    signer: KeylessSigner,
    *,
    name: str = "",
    docker_references: Sequence[str] = (),
    evidence: bool = True,
    timestamp: int = 0,
) -> SigningResult:
    """Sign as `sign_image` does, with a certificate: each statement is a bundle with an entry in the log.

    The image is also signed as each ``HOST/REPO:TAG`` in ``docker_references``, so that it can be verified
    under the name that it is pulled by. Earlier signatures stay, because each one has another certificate.
    ``timestamp`` is the signing time in seconds since the epoch. Raises TrustError also if a service
    refuses a signature.
    """
    name = check_signed_name(image, name)
    names = dict.fromkeys([name, *map(image_names.check_docker_reference, docker_references)])
    manifests: dict[Digest, tuple[Digest, ...]] = {}
    attested: dict[str, None] = {}
    for signed_image in _signed_images(image):
        documents = list(_document_statements(signed_image, home, name)) if evidence else []
        attested |= dict.fromkeys(statement.predicate_type for statement in documents)
        manifests[signed_image.root.digest] = tuple(
            sigstore_writer.attach_bundle(signed_image, location, signer.sign(statement.payload), statement)
            for statement in (
                *(_signature_statement(signed_image, signed_name, timestamp) for signed_name in names),
                *documents,
            )
        )
    location.finish()
    return SigningResult(image.root.digest, name, signer.title, True, tuple(attested), manifests)


class _SignaturePlan(msgspec.Struct, frozen=True):
    """What a key signs about one image, and the predicate types of the documents that are part of it."""

    image: Image
    changes: _SignatureChanges
    attested: tuple[str, ...]


def _plan_signatures(
    image: Image, home: Home | None, key: PublicKey, name: str, time: SigningTime, *, evidence: bool
) -> Iterator[_SignaturePlan]:
    """Yield what is to be signed about the root and about each platform's image."""
    root_time = 0
    for signed_image in _signed_images(image):
        timestamp = signing_time.choose_time(signed_image, home, key, time, root_time)
        root_time = root_time or timestamp
        documents = list(_document_statements(signed_image, home, name)) if evidence else []
        statements = [_signature_statement(signed_image, name, timestamp), *documents]
        existing_claims = _read_claims_of_key(signed_image, home, key, name)
        yield _SignaturePlan(
            signed_image,
            _compare_statements(statements, existing_claims, time),
            tuple(statement.predicate_type for statement in documents),
        )


class _SignatureChanges(msgspec.Struct, frozen=True):
    """The statements to sign, the entries that they replace, and the manifests of the other statements."""

    missing: list[SignableStatement]
    stale_entries: set[str]
    manifests: list[Digest]


def _compare_statements(
    statements: Sequence[SignableStatement], existing_claims: Sequence[Claim], time: SigningTime
) -> _SignatureChanges:
    """Compare what should be signed with the claims that a key has made."""
    outdated = [claim for claim in existing_claims if time.is_outdated(claim)]
    current_claims = [claim for claim in existing_claims if claim not in outdated]
    missing = []
    manifests = []
    for statement in statements:
        matches = _matching_claims(statement, current_claims)
        if {form for form, _ in matches} != _BOTH_FORMS:
            missing.append(statement)
        else:
            manifests += [manifest for _, manifest in matches]
    replaced = [
        claim for claim in current_claims if any(_is_replaced(statement, claim) for statement in missing)
    ]
    return _SignatureChanges(missing, {claim.entry for claim in (*replaced, *outdated)}, manifests)


def sign_docker_reference(
    image: Image,
    location: Attachment,
    home: Home | None,
    signer: Signer,
    reference: str,
    *,
    time: SigningTime = signing_time.UNDATED,
) -> SigningResult:
    """Sign an image and its platforms also as ``reference`` (``HOST/REPO:TAG``); raises UsageError.

    By default, skopeo and podman accept an image of a registry only under this name, and they read only
    cosign's older format. Existing signatures are kept.
    """
    name = image_names.check_docker_reference(reference)
    key: PrivateKey | None = None
    for signed_image in _signed_images(image):
        existing_claims = _read_claims_of_key(signed_image, home, signer.public_key, name)
        outdated_entries = {claim.entry for claim in existing_claims if time.is_outdated(claim)}
        current_claims = [claim for claim in existing_claims if claim.entry not in outdated_entries]
        if not any(claim.form == "cosign" and claim.is_signature for claim in current_claims):
            key = key or _open_key(signer)
            timestamp = signing_time.choose_time(signed_image, home, signer.public_key, time, 0)
            sigstore_writer.write_docker_reference_signature(
                signed_image, location, home, key, name, timestamp, stale=outdated_entries
            )
    if key:
        location.finish()
    return SigningResult(image.root.digest, name, signer.public_key.fingerprint, key is not None)


def attest_image(
    image: Image,
    location: Attachment,
    home: Home | None,
    signer: Signer,
    *,
    predicate_type: str,
    predicate: Any,
    name: str = "",
) -> SigningResult:
    """Attest ``predicate`` (JSON) about an image, unless this key has attested it already."""
    name = check_signed_name(image, name)
    statement = _predicate_statement(image, name, predicate_type, predicate)
    existing_claims = _read_claims_of_key(image, home, signer.public_key, name)
    is_new = {form for form, _ in _matching_claims(statement, existing_claims)} != _BOTH_FORMS
    if is_new:
        sigstore_writer.write_signatures(image, location, home, _open_key(signer), name, [statement])
        location.finish()
    return SigningResult(
        image.root.digest, name, signer.public_key.fingerprint, is_new, (statement.predicate_type,)
    )


def attest_image_keyless(
    image: Image,
    location: Attachment,
    signer: KeylessSigner,
    *,
    predicate_type: str,
    predicate: Any,
    name: str = "",
) -> SigningResult:
    """Attest ``predicate`` (JSON) as `attest_image` does, with a certificate: as a bundle, always anew."""
    name = check_signed_name(image, name)
    statement = _predicate_statement(image, name, predicate_type, predicate)
    sigstore_writer.attach_bundle(image, location, signer.sign(statement.payload), statement)
    location.finish()
    return SigningResult(image.root.digest, name, signer.title, True, (statement.predicate_type,))


def _predicate_statement(image: Image, name: str, predicate_type: str, predicate: Any) -> SignableStatement:
    uri = intoto.parse_predicate_type(predicate_type)
    if uri == sigstore.SIGN:
        raise UsageError("the predicate type of a signature cannot be attested", hint="run 'pumice sign'")
    return _make_statement(image, name, uri, intoto.encode_predicate(predicate))


def build_statement(
    image: Image, artifact: Descriptor, name: str, *, trusted: bool = False
) -> tuple[str, bytes]:
    """Return the predicate type and the JSON of a statement with an attached document about the image.

    A document that is not ``trusted`` is parsed strictly. Raises FormatError, and TrustError for a
    provenance of another image.
    """
    from pumice.image import referrers

    data = referrers.read_artifact_blob(image, artifact, intoto.MAX_STATEMENT)
    uri = _PREDICATE_TYPES[artifact.artifact_type]
    if artifact.artifact_type == intoto.MEDIA_TYPE:
        statement = intoto.read_statement(data)
        if all(subject.digest != image.root.digest for subject in statement.subjects):
            raise TrustError("the attached provenance is about another image", where=artifact.digest)
        uri, data = statement.predicate_type, statement.json
    if not trusted:
        strictjson.read_object(data, "attached document", limit=intoto.MAX_STATEMENT)
    return uri, _make_statement(image, name, uri, data.strip()).payload


def _document_statements(image: Image, home: Home | None, name: str) -> Iterator[SignableStatement]:
    """Yield the statements of the build's documents about the root; raises TrustError for two of one type."""
    built_here = home is not None and home.build_marks.has(image.root.digest)
    seen_types: set[str] = set()
    for artifact in image.referrers():
        if oci.EVIDENCE not in artifact.annotations or artifact.artifact_type not in _PREDICATE_TYPES:
            continue
        try:
            uri, payload = build_statement(image, artifact, name, trusted=built_here)
        except FormatError as error:
            raise FormatError(error.message, where=artifact.digest, hint=_HINT) from None
        if uri in seen_types:
            raise TrustError(
                f"the image has two attached documents of type {uri}",
                where=image.root.digest,
                hint=_HINT,
            )
        seen_types.add(uri)
        yield SignableStatement(predicate_type=uri, payload=payload, document=artifact.digest)


_HINT = "to sign the image without its documents, pass --no-evidence"


def _signature_statement(image: Image, name: str, timestamp: int) -> SignableStatement:
    return _make_statement(image, name, sigstore.SIGN, b"{}", timestamp)


def _make_statement(
    image: Image, name: str, uri: str, predicate: bytes, timestamp: int = 0
) -> SignableStatement:
    subject = intoto.Subject(name, image.root.digest, timestamp)
    payload = intoto.encode_statement(intoto.Statement((subject,), uri, predicate))
    return SignableStatement(predicate_type=uri, payload=payload, timestamp=timestamp)


def _signed_images(image: Image) -> Iterator[Image]:
    """Yield the root and each platform's image: podman and skopeo verify the manifest that they copy."""
    yield image
    for descriptor, _ in image.members():
        if descriptor.digest != image.root.digest:
            yield image.at(descriptor)


def _read_claims_of_key(image: Image, home: Home | None, key: PublicKey, name: str) -> list[Claim]:
    """Return the key's existing claims about the image under the name."""
    return [
        claim
        for claim in claims.read_claims(image, home)
        if claim.subject == image.root.digest
        and claim.names == (name,)
        and any(keys.verify_signature(key, signature, claim.signed) for signature in claim.signatures)
    ]


def _matching_claims(
    statement: SignableStatement, existing_claims: Sequence[Claim]
) -> list[tuple[str, Digest]]:
    """Return the formats and manifests of the existing claims that equal the statement."""
    if statement.predicate_type == sigstore.SIGN:  # other bytes in each format; the time is kept
        return [(claim.form, claim.source) for claim in existing_claims if claim.is_signature]
    return [(claim.form, claim.source) for claim in existing_claims if claim.signed == statement.signed]


def _is_replaced(statement: SignableStatement, claim: Claim) -> bool:
    """Return whether a statement replaces a claim: a build attaches one document of a type."""
    return (
        bool(statement.document and claim.document)
        and statement.predicate_type == claim.predicate_type
        and statement.signed != claim.signed
    )


def _open_key(signer: Signer) -> PrivateKey:
    key = signer.open_private_key()
    if key.public_key != signer.public_key:
        raise TrustError("the private key does not match the public key next to it")
    return key
