"""What is attached to an image, taken apart into claims that still have to be believed.

A stranger can attach anything to an image that lies in a public place, so nothing here stops at what
is malformed: it becomes a claim with a ``problem``, and the next one is looked at.
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
"""How a claim is written down: cosign's older annotations and tags, a sigstore bundle,
or an OpenPGP signature of the archive that the image lies in."""

MAX_REFERRERS = 1000
_MAX_LAYERS = 100
_NOT_FOUND = 404
_MAX_MANIFESTS = 64 << 20
"""Bytes of all manifests that refer to one image; one has about 1 KiB."""
_MAX_SIGNATURE = 1 << 20
"""Bytes of a blob, where only signatures are wanted."""
PREDICATE_TYPE = "predicateType"
"""The annotation that cosign gives to its older attestations."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One signed claim: ``signatures`` are over ``signed``, of which the other fields were read.

    ``predicate_type`` is `sigstore.SIGN` for a plain signature. ``source`` is the manifest that it is
    attached by. With a ``problem`` it says nothing.
    """

    form: Form
    source: Digest
    subject: Digest = ""
    names: tuple[str, ...] = ()
    """What the subject is called; none, if the claim does not say."""
    predicate_type: str = ""
    json: bytes = b"null"
    """The predicate, as JSON."""
    signed: bytes = b""
    signatures: tuple[bytes, ...] = ()
    document: Digest = ""
    """The attached document that is stated here, as whoever wrote it down says; "" for others."""
    blob: Digest = ""
    """What it was read from."""
    problem: str = ""
    signer_fingerprints: tuple[str, ...] | None = None
    """Who made it, where that is known already: fingerprints."""
    created: int = 0
    """When it was signed, in seconds since the epoch, as the signed bytes say; 0 if they do not."""
    entry: str = ""
    """What tells it from the other signatures in its manifest: see `entry_of`."""
    certified: bool = False
    """Whether a certificate takes the place of a key that is known."""
    bundle: bytes = b""
    """What proves that: the JSON of the bundle; nothing in cosign's older form."""

    @property
    def is_signature(self) -> bool:
        """Whether this vouches for the image as such, rather than stating something about it."""
        return self.predicate_type == sigstore.SIGN

    @property
    def predicate(self) -> Any:
        """What is stated; raises FormatError where two readers could see two things."""
        return intoto.Statement((), self.predicate_type, self.json).predicate


class AttachedManifest(msgspec.Struct, frozen=True):
    """A manifest that refers to an image, and where its blobs are."""

    descriptor: Descriptor
    manifest: Manifest
    blobs: BlobSource


def without_content(claim: Claim) -> Claim:
    """Return a claim without its content: it has been judged, and a bill of materials is large."""
    return msgspec.structs.replace(claim, signed=b"", json=b"null", bundle=b"", signatures=())


def read_attached_manifests(image: Image, home: Home | None) -> Iterator[AttachedManifest]:
    """Yield every manifest that refers to the image's root: from the store, and from where it lies.

    Raises what reading from a place that does not answer does.
    """
    seen_digests: set[Digest] = set()
    subject = image.root.digest
    candidates: list[tuple[Descriptor, BlobSource]] = []
    if home is not None:
        candidates += [(descriptor, home.blobs) for descriptor in home.referrers.get(subject)]
    candidates += [(descriptor, image.blobs) for descriptor in image.beside or image.referrers()]
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
    """Whether a place failed to answer: what it has is not known then, and must not count as nothing.

    Else an image would be called unsigned, and signing it again would take the other signatures away.
    """
    return error.exit_code == FetchError.exit_code and getattr(error, "status", 0) != _NOT_FOUND


def _is_about(descriptor: Descriptor, manifest: Manifest, subject: Digest) -> bool:
    """By its subject, or as cosign's older signatures, which have none, by name or by place."""
    if manifest.subject is not None:
        return manifest.subject.digest == subject
    name = descriptor.annotations.get(oci.REF_NAME, "")
    kind = descriptor.annotations.get("kind", "")
    return name.startswith(f"sha256-{digest.hex_of(subject)}") or kind.startswith("dev.cosignproject.cosign/")


class _Entry(msgspec.Struct, frozen=True):
    """A blob as a manifest lists it."""

    layer: Descriptor
    manifest: AttachedManifest

    @property
    def order(self) -> tuple[int, Digest]:
        """Small ones first, and those of one blob together."""
        return (self.layer.size, self.layer.digest)


def read_claims(
    image: Image, home: Home | None, *, signatures_only: bool = False, budget: Budget | None = None
) -> Iterator[Claim]:
    """Yield every claim that is attached to the image's root, believed or not.

    Each blob is read once and let go of before the next. With ``signatures_only`` what says of itself
    that it is an attestation is left out: a bill of materials is large. What ``budget`` does not allow
    becomes a claim with a problem.
    """
    remaining_budget = budget or (budgets.signature_budget() if signatures_only else budgets.Budget())
    about = image.root.digest
    previous_content: _Content | None = None
    for entry in _list_entries(image, home, signatures_only=signatures_only):
        if previous_content is None or previous_content.key != _content_key(entry.layer):
            previous_content = None  # so that two large blobs are never held at once
            previous_content = _read_content(
                entry, remaining_budget, _MAX_SIGNATURE if signatures_only else dsse.MAX_ENVELOPE
            )
        yield _make_claim(entry, previous_content, about)


def _list_entries(image: Image, home: Home | None, *, signatures_only: bool) -> list[_Entry]:
    """Return what is attached, each signature once."""
    entries: dict[tuple[str, ...], _Entry] = {}
    for attached in read_attached_manifests(image, home):
        for layer in attached.manifest.layers[:_MAX_LAYERS]:
            if _claim_form(layer) is None or (
                signatures_only and _declared_predicate_type(layer, attached) not in ("", sigstore.SIGN)
            ):
                continue
            certified = simplesigning.CERTIFICATE in layer.annotations
            document = _read_annotation(layer, attached, oci.ATTESTED)
            key = (layer.media_type, entry_key(layer), str(layer.size), document, str(certified))
            entries.setdefault(key, _Entry(layer, attached))
    return sorted(entries.values(), key=lambda entry: entry.order)


def entry_key(layer: Descriptor) -> str:
    """Return what tells a signature from others in its manifest: several may be of the same bytes."""
    return layer.digest + layer.annotations.get(simplesigning.SIGNATURE, "")


def _declared_predicate_type(layer: Descriptor, attached: AttachedManifest) -> str:
    """Return of which predicate type a claim is said to be; "" if nothing is said."""
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
    """A blob that was read: a payload, or a statement in its envelope, or why it is neither."""

    key: tuple[Digest, int, str]
    payload: simplesigning.Payload | None = None
    envelope: dsse.Envelope | None = None
    statement: intoto.Statement | None = None
    data: bytes = b""
    """What is signed, and for a bundle with a certificate all of it."""
    certified: bool = False
    problem: str = ""


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
            envelope, keyless = dsse.read_envelope(data), False
        else:
            bundle = sigstore.read_bundle(data)
            envelope, keyless = bundle.envelope, bundle.is_keyless
        bundle_data = data if keyless else b""
        del data
        statement = intoto.read_statement(envelope.payload)
        return _Content(key=key, envelope=envelope, statement=statement, data=bundle_data, certified=keyless)
    except PumiceError as error:
        return _Content(key=key, problem=error.message)


def _read_blob(layer: Descriptor, blobs: BlobSource, budget: Budget, limit: int) -> bytes:
    from pumice.errors import TrustError

    digest.check(layer.digest)
    if layer.size > limit:
        raise FormatError(f"a signature of {layer.size} bytes is too large")
    if problem := budget.take(layer.size):
        raise TrustError(problem)
    with blobs.open(layer.digest) as file:
        data = file.read(layer.size + 1)
    if len(data) != layer.size or digest.of(data) != layer.digest:
        raise TrustError("a signature does not have the digest it is known by")
    return data


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
        document=_read_annotation(layer, entry.manifest, oci.ATTESTED),
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
    """Return what a statement says about the image, under all the names that it gives it.

    Of one that is only about others, return what it says about one of them.
    """
    if content.envelope is None or content.statement is None:
        raise FormatError("there is no statement in it")
    subjects = [one for one in content.statement.subjects if one.digest == subject]
    described: Sequence[intoto.Subject] = subjects or content.statement.subjects[:1]
    if not described:
        raise FormatError("the statement is about nothing that has a SHA-256 digest")
    return Claim(
        form=form,
        source=source,
        subject=described[0].digest,
        names=tuple(sorted({one.name for one in described if one.name})),
        predicate_type=content.statement.predicate_type,
        json=content.statement.json,
        signed=content.envelope.signed_bytes(),
        signatures=tuple(signature.value for signature in content.envelope.signatures),
        created=min((one.timestamp for one in described), default=0),
        certified=content.certified,
        bundle=content.data,
    )
