"""What is attached to an image, taken apart into claims that still have to be believed.

A stranger can attach anything to an image that lies in a public place, so nothing here stops at what
is malformed: it becomes a claim with a ``problem``, and the next one is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from pumice import digest
from pumice.errors import PumiceError
from pumice.formats import dsse, intoto, oci, sigstore, simplesigning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor, Manifest
    from pumice.image.model import BlobSource, Image
    from pumice.store.home import Home

Form = Literal["cosign", "bundle", "openpgp"]
"""How a claim is written down: cosign's older annotations and tags, a sigstore bundle,
or an OpenPGP signature of the archive that the image lies in."""

MAX_REFERRERS = 1000
_MAX_LAYERS = 100
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
    attested: Digest = ""
    """The attached document that is stated here, as whoever wrote it down says; "" for others."""
    blob: Digest = ""
    """What it was read from."""
    problem: str = ""
    makers: tuple[str, ...] | None = None
    """Who made it, where that is known already: fingerprints."""
    created: int = 0
    """When it was made, as its maker says, in seconds since the epoch; 0 if it does not say."""
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


class Attached(msgspec.Struct, frozen=True):
    """A manifest that refers to an image, and where its blobs are."""

    descriptor: Descriptor
    manifest: Manifest
    blobs: BlobSource


def attached(image: Image, home: Home | None) -> Iterator[Attached]:
    """Yield every manifest that refers to the image's root: from the store, and from where it lies."""
    seen: set[Digest] = set()
    subject = image.root.digest
    places: list[tuple[Descriptor, BlobSource]] = []
    if home is not None:
        places += [(descriptor, home.blobs) for descriptor in home.referrers.get(subject)]
    places += [(descriptor, image.blobs) for descriptor in image.beside or image.referrers()]
    for descriptor, blobs in places[:MAX_REFERRERS]:
        if descriptor.digest in seen or descriptor.media_type not in oci.MANIFESTS:
            continue
        seen.add(descriptor.digest)
        manifest = _manifest(descriptor, blobs)
        if manifest is not None and _refers(descriptor, manifest, subject):
            yield Attached(descriptor, manifest, blobs)


def _manifest(descriptor: Descriptor, blobs: BlobSource) -> Manifest | None:
    from pumice.image.model import Image

    try:
        return oci.read_manifest(Image(descriptor, blobs).document(descriptor))
    except PumiceError:
        return None


def _refers(descriptor: Descriptor, manifest: Manifest, subject: Digest) -> bool:
    """By its subject, or as cosign's older signatures, which have none, by name or by place."""
    if manifest.subject is not None:
        return manifest.subject.digest == subject
    name = descriptor.annotations.get(oci.REF_NAME, "")
    kind = descriptor.annotations.get("kind", "")
    return name.startswith(f"sha256-{digest.hex_of(subject)}") or kind.startswith("dev.cosignproject.cosign/")


def read(image: Image, home: Home | None, *, signatures_only: bool = False) -> Iterator[Claim]:
    """Yield every claim that is attached to the image's root, believed or not.

    With ``signatures_only`` what says of itself that it is an attestation is left out: a bill of
    materials is large.
    """
    for one in attached(image, home):
        for layer in one.manifest.layers[:_MAX_LAYERS]:
            if not signatures_only or _stated(layer, one) in ("", sigstore.SIGN):
                for claim in _layer(layer, one):
                    yield msgspec.structs.replace(
                        claim, blob=layer.digest, attested=_annotation(layer, one, oci.ATTESTED)
                    )


def _stated(layer: Descriptor, one: Attached) -> str:
    """Return of which predicate type a claim is said to be; "" if nothing is said."""
    return layer.annotations.get(PREDICATE_TYPE) or one.manifest.annotations.get(sigstore.PREDICATE_TYPE, "")


def _annotation(layer: Descriptor, one: Attached, name: str) -> str:
    return layer.annotations.get(name) or one.manifest.annotations.get(name, "")


def _layer(layer: Descriptor, one: Attached) -> Iterator[Claim]:
    source = one.descriptor.digest
    form: Form = "bundle" if sigstore.is_bundle(layer.media_type) else "cosign"
    try:
        if layer.media_type == simplesigning.PAYLOAD:
            yield _simple(layer, _content(layer, one.blobs, simplesigning.MAX_PAYLOAD), source)
        elif layer.media_type == dsse.ENVELOPE:
            for claim in _statement(dsse.read(_content(layer, one.blobs)), form, source):
                yield msgspec.structs.replace(claim, certified=simplesigning.CERTIFICATE in layer.annotations)
        elif form == "bundle":
            data = _content(layer, one.blobs)
            bundle = sigstore.read(data)
            for claim in _statement(bundle.envelope, form, source):
                if bundle.keyless:
                    claim = msgspec.structs.replace(claim, certified=True, bundle=data)  # noqa: PLW2901
                yield claim
    except PumiceError as error:
        yield Claim(form=form, source=source, problem=error.message)


def _content(layer: Descriptor, blobs: BlobSource, limit: int = dsse.MAX_ENVELOPE) -> bytes:
    from pumice.errors import FormatError, TrustError

    digest.check(layer.digest)
    if layer.size > limit:
        raise FormatError(f"a signature of {layer.size} bytes is too large")
    with blobs.open(layer.digest) as file:
        data = file.read(layer.size + 1)
    if len(data) != layer.size or digest.of(data) != layer.digest:
        raise TrustError("a signature does not have the digest it is known by")
    return data


def _simple(layer: Descriptor, data: bytes, source: Digest) -> Claim:
    payload = simplesigning.read(data)
    text = layer.annotations.get(simplesigning.SIGNATURE, "")
    return Claim(
        form="cosign",
        source=source,
        subject=payload.digest,
        names=(payload.reference,) if payload.reference else (),
        predicate_type=sigstore.SIGN,
        signed=data,
        signatures=(dsse.unbase64(text, "signature"),),
        certified=simplesigning.CERTIFICATE in layer.annotations,
    )


def _statement(envelope: dsse.Envelope, form: Form, source: Digest) -> Iterator[Claim]:
    """One statement may have several subjects: one claim about each digest, under all its names."""
    read = intoto.read(envelope.payload)
    for subject in sorted({subject.digest for subject in read.subjects}):
        names = {one.name for one in read.subjects if one.digest == subject and one.name}
        yield Claim(
            form=form,
            source=source,
            subject=subject,
            names=tuple(sorted(names)),
            predicate_type=read.predicate_type,
            json=read.json,
            signed=envelope.signed(),
            signatures=tuple(signature.value for signature in envelope.signatures),
        )
