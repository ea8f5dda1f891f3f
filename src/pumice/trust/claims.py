"""Reading the signatures and attestations that are attached to an image, without verifying them.

Anyone may attach anything to an image in a public registry. A malformed attachment is therefore not an
error: it becomes a claim with a ``problem``, and reading continues.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from pumice import digest
from pumice.errors import FetchError, FormatError, PumiceError
from pumice.formats import dsse, intoto, oci, sigstore, simplesigning
from pumice.trust import budget as budgets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor, Manifest
    from pumice.image.model import BlobSource, Image
    from pumice.store.home import Home
    from pumice.trust.budget import Budget

Form = Literal["cosign", "bundle", "openpgp"]
"""The format of a claim: cosign's older annotations and tags, a sigstore bundle, or an OpenPGP
signature of the archive that contains the image."""

MAX_REFERRERS = 1000
_MAX_LAYERS = 100
_FINGERPRINT_BYTES = 32
_NOT_FOUND = 404
_MAX_MANIFESTS = 64 << 20
"""Bytes of all manifests that refer to one image; one has about 1 KiB."""
_MAX_SIGNATURE = 1 << 20
"""Bytes of a blob, if only signatures are read."""
PREDICATE_TYPE = "predicateType"
"""The annotation of cosign's older attestations."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One signed claim: ``signatures`` are over ``signed``, from which the other fields were read.

    ``predicate_type`` is `sigstore.SIGN` for a plain signature. ``source`` is the digest of the manifest
    that attaches it. A claim with a ``problem`` has no other content.
    """

    form: Form
    source: Digest
    subject: Digest = ""
    names: tuple[str, ...] = ()
    """The names of the subject; empty if the claim has none."""
    predicate_type: str = ""
    json: bytes = b"null"
    """The predicate, as JSON."""
    signed: bytes = b""
    signatures: tuple[bytes, ...] = ()
    document: Digest = ""
    """The digest of the attached document that this attests, by an unsigned annotation; "" for none."""
    blob: Digest = ""
    """The digest of the blob that it was read from."""
    problem: str = ""
    signer_fingerprints: tuple[str, ...] | None = None
    """Fingerprints of the keys that signed it, if they are known already."""
    created: int = 0
    """When it was signed, by the signed bytes, in seconds since the epoch; 0 if unknown."""
    entry: str = ""
    """What distinguishes it from the other signatures in its manifest; see `entry_key`."""
    certified: bool = False
    """Whether it is signed with a certificate instead of a known key."""
    named_fingerprints: tuple[str, ...] = ()
    """Fingerprints of the keys that the claim says it is signed by, which is not verified."""
    bundle: bytes = b""
    """The JSON of the bundle with the certificate; empty in cosign's older format."""

    @property
    def is_signature(self) -> bool:
        """Whether this is a signature of the image, not an attestation about it."""
        return self.predicate_type == sigstore.SIGN

    @property
    def predicate(self) -> Any:
        """The predicate; raises FormatError for JSON that two readers could read differently."""
        return intoto.Statement((), self.predicate_type, self.json).predicate


class AttachedManifest(msgspec.Struct, frozen=True):
    """A manifest that refers to an image, and the source of its blobs."""

    descriptor: Descriptor
    manifest: Manifest
    blobs: BlobSource


def without_content(claim: Claim) -> Claim:
    """Return a verified claim without its content, because an SBOM is large."""
    return msgspec.structs.replace(claim, signed=b"", json=b"null", bundle=b"", signatures=())


def read_archive_mark(image: Image, home: Home) -> Iterator[Claim]:
    """Yield a claim for each key that had signed the archive which an image in the store came from."""
    mark = home.archive_marks.get(image.root.digest)
    for signer in mark.signers if mark is not None else ():
        yield Claim(
            form="openpgp",
            source=image.root.digest,
            subject=image.root.digest,
            predicate_type=sigstore.SIGN,
            signer_fingerprints=(signer.fingerprint,),
            named_fingerprints=(signer.fingerprint,),
            created=signer.created,
        )


def read_attached_manifests(image: Image, home: Home | None) -> Iterator[AttachedManifest]:
    """Yield every manifest that refers to the image's root, from the store and from the image's location.

    Raises FetchError if the location does not respond.
    """
    seen_digests: set[Digest] = set()
    subject = image.root.digest
    candidates: list[tuple[Descriptor, BlobSource]] = []
    if home is not None:
        candidates += [(descriptor, home.blobs) for descriptor in home.referrers.get(subject)]
    candidates += [(descriptor, image.blobs) for descriptor in image.listed_referrers or image.referrers()]
    remaining_bytes = _MAX_MANIFESTS
    for descriptor, blobs in candidates[:MAX_REFERRERS]:
        if descriptor.digest in seen_digests or descriptor.media_type not in oci.MANIFESTS:
            continue
        if descriptor.size > remaining_bytes:
            continue
        remaining_bytes -= descriptor.size
        seen_digests.add(descriptor.digest)
        manifest = _read_manifest(descriptor, blobs)
        if manifest is not None and _is_about(descriptor, manifest, subject):
            yield AttachedManifest(descriptor, manifest, blobs)


def _read_manifest(descriptor: Descriptor, blobs: BlobSource) -> Manifest | None:
    from pumice.image.model import Image

    try:
        return oci.read_manifest(Image(descriptor, blobs).document(descriptor))
    except PumiceError as error:
        if _is_unreachable(error):
            raise
        return None


def _is_unreachable(error: PumiceError) -> bool:
    """Return whether a location failed to respond, so that its content is unknown rather than missing.

    If it counted as missing, the image would be reported as unsigned, and signing it again would remove
    the other signatures.
    """
    return error.exit_code == FetchError.exit_code and getattr(error, "status", 0) != _NOT_FOUND


def _is_about(descriptor: Descriptor, manifest: Manifest, subject: Digest) -> bool:
    """Return whether a manifest refers to ``subject``; cosign's older ones do by tag or annotation."""
    if manifest.subject is not None:
        return manifest.subject.digest == subject
    name = descriptor.annotations.get(oci.REF_NAME, "")
    kind = descriptor.annotations.get("kind", "")
    return name.startswith(f"sha256-{digest.hex_of(subject)}") or kind.startswith("dev.cosignproject.cosign/")


class _Entry(msgspec.Struct, frozen=True):
    """A layer and the manifest that lists it."""

    layer: Descriptor
    manifest: AttachedManifest

    @property
    def order(self) -> tuple[int, Digest]:
        """Sort key: small blobs first, and the entries of one blob together."""
        return (self.layer.size, self.layer.digest)


def read_claims(
    image: Image, home: Home | None, *, signatures_only: bool = False, budget: Budget | None = None
) -> Iterator[Claim]:
    """Yield every claim that is attached to the image's root, trusted or not.

    Each blob is read once, and released before the next one. With ``signatures_only`` layers that are
    annotated as attestations are skipped, because an SBOM is large. A blob that exceeds ``budget``
    becomes a claim with a problem.
    """
    remaining_budget = budget or (budgets.signature_budget() if signatures_only else budgets.Budget())
    subject = image.root.digest
    previous_content: _Content | None = None
    for entry in _list_entries(image, home, signatures_only=signatures_only):
        if previous_content is None or previous_content.key != _content_key(entry.layer):
            previous_content = None  # so that two large blobs are never held at once
            previous_content = _read_content(
                entry, remaining_budget, _MAX_SIGNATURE if signatures_only else dsse.MAX_ENVELOPE
            )
        yield _make_claim(entry, previous_content, subject)


def _list_entries(image: Image, home: Home | None, *, signatures_only: bool) -> list[_Entry]:
    """Return the attached signatures and attestations, each once."""
    entries: dict[tuple[str, ...], _Entry] = {}
    for attached in read_attached_manifests(image, home):
        for layer in attached.manifest.layers[:_MAX_LAYERS]:
            if _claim_form(layer) is None or (
                signatures_only and _declared_predicate_type(layer, attached) not in ("", sigstore.SIGN)
            ):
                continue
            certified = simplesigning.CERTIFICATE in layer.annotations
            document = _read_annotation(layer, attached, oci.ATTESTED_DIGEST)
            key = (layer.media_type, entry_key(layer), str(layer.size), document, str(certified))
            entries.setdefault(key, _Entry(layer, attached))
    return sorted(entries.values(), key=lambda entry: entry.order)


def entry_key(layer: Descriptor) -> str:
    """Return what identifies a signature in its manifest, where several may be of the same bytes."""
    return layer.digest + layer.annotations.get(simplesigning.SIGNATURE, "")


def _declared_predicate_type(layer: Descriptor, attached: AttachedManifest) -> str:
    """Return the predicate type by the annotations, "" if they have none."""
    return layer.annotations.get(PREDICATE_TYPE) or attached.manifest.annotations.get(
        sigstore.PREDICATE_TYPE, ""
    )


def _read_annotation(layer: Descriptor, attached: AttachedManifest, name: str) -> str:
    return layer.annotations.get(name) or attached.manifest.annotations.get(name, "")


def _claim_form(layer: Descriptor) -> Form | None:
    if layer.media_type in (simplesigning.PAYLOAD, dsse.ENVELOPE):
        return "cosign"
    return "bundle" if sigstore.is_bundle(layer.media_type) else None


class _Content(msgspec.Struct, frozen=True, kw_only=True):
    """A blob that was read: a payload, a statement in its envelope, or the reason why it is neither."""

    key: tuple[Digest, int, str]
    payload: simplesigning.Payload | None = None
    envelope: dsse.Envelope | None = None
    statement: intoto.Statement | None = None
    data: bytes = b""
    """The signed bytes, or for a bundle with a certificate the whole bundle."""
    certified: bool = False
    named_fingerprints: tuple[str, ...] = ()
    problem: str = ""


def _fingerprints(hint: str) -> tuple[str, ...]:
    """Return the fingerprint that the key hint of a bundle has; none if it is something else."""
    import base64
    import binascii

    try:
        fingerprint = base64.b64decode(hint, validate=True)
    except (binascii.Error, ValueError):
        return ()
    return (fingerprint.hex(),) if len(fingerprint) == _FINGERPRINT_BYTES else ()


def _content_key(layer: Descriptor) -> tuple[Digest, int, str]:
    return layer.digest, layer.size, layer.media_type


def _read_content(entry: _Entry, budget: Budget, limit: int) -> _Content:
    layer, key = entry.layer, _content_key(entry.layer)
    try:
        if layer.media_type == simplesigning.PAYLOAD:
            data = _read_blob(layer, entry.manifest.blobs, budget, simplesigning.MAX_PAYLOAD)
            return _Content(key=key, payload=simplesigning.read_payload(data), data=data)
        data = _read_blob(layer, entry.manifest.blobs, budget, limit)
        if layer.media_type == dsse.ENVELOPE:
            envelope, keyless, hint = dsse.read_envelope(data), False, ""
        else:
            bundle = sigstore.read_bundle(data)
            envelope, keyless, hint = bundle.envelope, bundle.is_keyless, bundle.hint
        bundle_data = data if keyless else b""
        del data
        statement = intoto.read_statement(envelope.payload)
        return _Content(
            key=key,
            envelope=envelope,
            statement=statement,
            data=bundle_data,
            certified=keyless,
            named_fingerprints=_fingerprints(hint),
        )
    except PumiceError as error:
        return _Content(key=key, problem=error.message)


def _read_blob(layer: Descriptor, blobs: BlobSource, budget: Budget, limit: int) -> bytes:
    from pumice.errors import TrustError
    from pumice.image.model import read_blob

    if layer.size > limit:
        raise FormatError(f"the signature is too large ({layer.size} bytes)")
    if problem := budget.take(layer.size):
        raise TrustError(problem)
    return read_blob(layer, blobs, limit)


def _make_claim(entry: _Entry, content: _Content, subject: Digest) -> Claim:
    layer, source = entry.layer, entry.manifest.descriptor.digest
    form = _claim_form(layer) or "cosign"
    try:
        if content.problem:
            claim = Claim(form=form, source=source, problem=content.problem)
        elif content.payload is not None:
            claim = _simple_claim(layer, content.payload, content.data, source)
        else:
            claim = _statement_claim(content, form, source, subject)
    except PumiceError as error:
        claim = Claim(form=form, source=source, problem=error.message)
    certified = claim.certified or (form == "cosign" and simplesigning.CERTIFICATE in layer.annotations)
    return msgspec.structs.replace(
        claim,
        blob=layer.digest,
        entry=entry_key(layer),
        document=_read_annotation(layer, entry.manifest, oci.ATTESTED_DIGEST),
        certified=certified,
    )


def _simple_claim(layer: Descriptor, payload: simplesigning.Payload, data: bytes, source: Digest) -> Claim:
    text = layer.annotations.get(simplesigning.SIGNATURE, "")
    return Claim(
        form="cosign",
        source=source,
        subject=payload.digest,
        names=(payload.reference,) if payload.reference else (),
        predicate_type=sigstore.SIGN,
        signed=data,
        signatures=(dsse.decode_base64(text, "signature"),),
        created=payload.timestamp,
    )


def _statement_claim(content: _Content, form: Form, source: Digest, subject: Digest) -> Claim:
    """Return the claim of a statement about the image, with all names that it gives the image.

    For a statement about other images, return the claim about one of them.
    """
    if content.envelope is None or content.statement is None:
        raise FormatError("the envelope has no statement")
    subjects = [item for item in content.statement.subjects if item.digest == subject]
    described: Sequence[intoto.Subject] = subjects or content.statement.subjects[:1]
    if not described:
        raise FormatError("the statement has no subject with a SHA-256 digest")
    return Claim(
        form=form,
        source=source,
        subject=described[0].digest,
        names=tuple(sorted({item.name for item in described if item.name})),
        predicate_type=content.statement.predicate_type,
        json=content.statement.json,
        signed=content.envelope.signed_bytes(),
        signatures=tuple(signature.value for signature in content.envelope.signatures),
        created=min((item.timestamp for item in described), default=0),
        certified=content.certified,
        named_fingerprints=content.named_fingerprints,
        bundle=content.data,
    )
