"""Signing: what a key vouches for, so that cosign 2, cosign 3, skopeo, podman and Pumice all read it.

An image is signed with the documents that its build attached to it: what it is called, what it is
made of, and how it was built. Everything is the same for the same key and image, and names the image by
the recipe's ``name:version``.
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
    from pumice.image.transports.attachment import Place
    from pumice.store.home import Home
    from pumice.trust.claims import Claim
    from pumice.trust.keys import PrivateKey, PublicKey
    from pumice.trust.signing_time import SigningTime

_PREDICATE_TYPES = {
    "application/spdx+json": intoto.SPDX,
    "application/vnd.cyclonedx+json": intoto.CYCLONEDX,
    intoto.MEDIA_TYPE: intoto.PROVENANCE,
}
"""What a build attaches, and what it is called once it is attested."""
_BOTH_FORMS = {"cosign", "bundle"}


class Signer(msgspec.Struct, frozen=True):
    """A key that is opened only when there is something to sign."""

    public_key: PublicKey
    open_private_key: Callable[[], PrivateKey]


class SigningResult(msgspec.Struct, frozen=True):
    """What was done: the image, the name it was signed as, and whether anything was ``new``.

    ``attested`` are the predicate types of the documents that were signed with it; ``manifests`` what
    holds it all, by what it is about.
    """

    digest: Digest
    name: str
    fingerprint: str
    is_new: bool
    attested: tuple[str, ...] = ()
    manifests: dict[Digest, tuple[Digest, ...]] = {}


def check_signed_name(image: Image, requested_name: str = "") -> str:
    """Return the ``name:version`` to sign an image as; raises UsageError if there is none to be had."""
    name = requested_name or image_names.declared_name(image)
    if not name:
        raise UsageError(
            "the image does not say what it is called",
            hint="say --as NAME:VERSION, and mind that others trust it",
        )
    return image_names.check_name(name)


def sign_image(
    image: Image,
    location: Place,
    home: Home | None,
    signer: Signer,
    *,
    name: str = "",
    evidence: bool = True,
    time: SigningTime = signing_time.UNDATED,
) -> SigningResult:
    """Sign an image and, of an index, the image of each platform, under ``name`` or its own.

    With ``evidence``, the documents that a build attached to each are attested as well. What this key
    has signed under this name already stays as it is, unless ``time`` requires another one; if that is
    all, the key is not opened. Raises TrustError for attached documents that are not what they should be.
    """
    name = check_signed_name(image, name)
    root_time = 0
    key: PrivateKey | None = None
    manifests: dict[Digest, tuple[Digest, ...]] = {}
    attested: dict[str, None] = {}
    for signed_image in _signed_images(image):
        timestamp = signing_time.choose_time(signed_image, home, signer.public_key, time, root_time)
        root_time = root_time or timestamp
        statements = [
            _signature_statement(signed_image, name, timestamp),
            *(_document_statements(signed_image, home, name) if evidence else ()),
        ]
        attested |= dict.fromkeys(claim.predicate_type for claim in statements[1:])
        existing_claims = _read_claims_of_key(signed_image, home, signer.public_key, name)
        outdated = [old for old in existing_claims if time.is_outdated(old)]
        existing_claims = [old for old in existing_claims if old not in outdated]
        missing = [
            claim
            for claim in statements
            if {form for form, _ in _matching_claims(claim, existing_claims)} != _BOTH_FORMS
        ]
        manifest_digests = [
            where
            for claim in statements
            if claim not in missing
            for _, where in _matching_claims(claim, existing_claims)
        ]
        if missing:
            key = key or _open_key(signer)
            stale_entries = {
                old.entry for old in existing_claims if any(_is_replaced(claim, old) for claim in missing)
            }
            stale_entries |= {old.entry for old in outdated}
            manifest_digests += sigstore_writer.write_signatures(
                signed_image, location, home, key, name, missing, stale=stale_entries
            )
        manifests[signed_image.root.digest] = tuple(dict.fromkeys(manifest_digests))
    if key:
        location.finish()
    return SigningResult(
        *(image.root.digest, name, signer.public_key.fingerprint, key is not None), tuple(attested), manifests
    )


def sign_docker_reference(
    image: Image,
    location: Place,
    home: Home | None,
    signer: Signer,
    reference: str,
    *,
    time: SigningTime = signing_time.UNDATED,
) -> SigningResult:
    """Sign an image once more, as what lies at ``reference`` (``HOST/REPO:TAG``), and its platforms.

    That is the only name by which skopeo and podman, unless they are told otherwise, accept an image of
    a registry; they read cosign's older form alone. What stands already stays. Raises UsageError.
    """
    name = image_names.check_docker_reference(reference)
    key: PrivateKey | None = None
    for signed_image in _signed_images(image):
        existing_claims = _read_claims_of_key(signed_image, home, signer.public_key, name)
        outdated = {old.entry for old in existing_claims if time.is_outdated(old)}
        if not any(
            old.form == "cosign" and old.is_signature and old.entry not in outdated for old in existing_claims
        ):
            key = key or _open_key(signer)
            timestamp = signing_time.choose_time(signed_image, home, signer.public_key, time, 0)
            sigstore_writer.write_docker_reference_signature(
                signed_image, location, home, key, name, timestamp, stale=outdated
            )
    if key:
        location.finish()
    return SigningResult(image.root.digest, name, signer.public_key.fingerprint, key is not None)


def attest_image(
    image: Image,
    location: Place,
    home: Home | None,
    signer: Signer,
    *,
    predicate_type: str,
    predicate: Any,
    name: str = "",
) -> SigningResult:
    """State ``predicate`` (JSON) about an image, unless this key has stated just that already."""
    name = check_signed_name(image, name)
    uri = intoto.parse_predicate_type(predicate_type)
    if uri == sigstore.SIGN:
        raise UsageError("a signature is no attestation", hint="use pumice sign")
    statement = _make_statement(image, name, uri, intoto.encode_predicate(predicate))
    existing_claims = _read_claims_of_key(image, home, signer.public_key, name)
    is_new = {form for form, _ in _matching_claims(statement, existing_claims)} != _BOTH_FORMS
    if is_new:
        sigstore_writer.write_signatures(image, location, home, _open_key(signer), name, [statement])
        location.finish()
    return SigningResult(image.root.digest, name, signer.public_key.fingerprint, is_new, (uri,))


def build_statement(
    image: Image, artifact: Descriptor, name: str, *, trusted: bool = False
) -> tuple[str, bytes]:
    """Return what an attached document says, as the type and the JSON of a statement about the image.

    One that is not ``trusted`` to be our own is read with suspicion. Raises FormatError, and TrustError
    for a provenance of another image.
    """
    from pumice.image import referrers

    data = referrers.content(image, artifact, intoto.MAX_STATEMENT)
    uri = _PREDICATE_TYPES[artifact.artifact_type]
    if artifact.artifact_type == intoto.MEDIA_TYPE:
        statement = intoto.read_statement(data)
        if all(subject.digest != image.root.digest for subject in statement.subjects):
            raise TrustError("the provenance that is attached is about another image", where=artifact.digest)
        uri, data = statement.predicate_type, statement.json
    if not trusted:
        strictjson.read_object(data, "attached document", limit=intoto.MAX_STATEMENT)
    return uri, _make_statement(image, name, uri, data.strip()).payload


def _document_statements(image: Image, home: Home | None, name: str) -> Iterator[SignableStatement]:
    """Yield what the build's documents about the root say; raises TrustError for two of a type."""
    built_here = home is not None and home.built.has(image.root.digest)
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
                f"two documents of the type {uri} are attached to the image",
                where=image.root.digest,
                hint=_HINT,
            )
        seen_types.add(uri)
        yield SignableStatement(predicate_type=uri, payload=payload, document=artifact.digest)


_HINT = "sign the image alone: --no-evidence"


def _signature_statement(image: Image, name: str, timestamp: int) -> SignableStatement:
    return _make_statement(image, name, sigstore.SIGN, b"{}", timestamp)


def _make_statement(
    image: Image, name: str, uri: str, predicate: bytes, timestamp: int = 0
) -> SignableStatement:
    subject = intoto.Subject(name, image.root.digest, timestamp)
    payload = intoto.encode_statement(intoto.Statement((subject,), uri, predicate))
    return SignableStatement(predicate_type=uri, payload=payload, timestamp=timestamp)


def _signed_images(image: Image) -> Iterator[Image]:
    """Podman and skopeo look for a signature of the platform's manifest that they copy, not of the index."""
    yield image
    for descriptor, _ in image.members():
        if descriptor.digest != image.root.digest:
            yield image.at(descriptor)


def _read_claims_of_key(image: Image, home: Home | None, key: PublicKey, name: str) -> list[Claim]:
    """Return what the key has claimed already about the image, under the name."""
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
    """Return in which forms a claim stands already, and in which manifests."""
    if (
        statement.predicate_type == sigstore.SIGN
    ):  # the older form has other bytes, and the time that it had stays
        return [(old.form, old.source) for old in existing_claims if old.is_signature]
    return [(old.form, old.source) for old in existing_claims if old.signed == statement.signed]


def _is_replaced(statement: SignableStatement, claim: Claim) -> bool:
    """An image has one document of a type from its build: what was said of an earlier one is over."""
    return (
        bool(statement.document and claim.document)
        and statement.predicate_type == claim.predicate_type
        and statement.signed != claim.signed
    )


def _open_key(signer: Signer) -> PrivateKey:
    key = signer.open_private_key()
    if key.public_key != signer.public_key:
        raise TrustError("the private key and the public key beside it are not a pair")
    return key
