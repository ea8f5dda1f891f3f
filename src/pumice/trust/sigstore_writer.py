"""How signed claims are written down: each as cosign's older artifact, and as a sigstore bundle.

Both refer to the image by its digest. cosign's older artifacts have all signatures of an image in one
manifest, and all attestations in another; a bundle has a manifest of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.digest import hex_of
from pumice.formats import dsse, oci, sigstore, simplesigning
from pumice.formats.oci import Descriptor
from pumice.trust import claims

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from pumice.digest import Digest
    from pumice.image.model import Image
    from pumice.image.transports.attachment import Attachment
    from pumice.store.home import Home
    from pumice.trust.claims import AttachedManifest
    from pumice.trust.keys import PrivateKey

_SIGNATURES = "application/vnd.dev.cosign.artifact.sig.v1+json"
_ATTESTATIONS = "application/vnd.dev.cosign.artifact.att.v1+json"
_EMPTY = b"{}"
_IN_TOTO_PREDICATE_TYPE = "in-toto.io/predicate-type"
"""What other readers of referrers look at."""


class SignableStatement(msgspec.Struct, frozen=True, kw_only=True):
    """A claim that is to be signed: ``payload`` is an in-toto statement.

    ``document`` is the digest of the attached document that it states, "" for none; ``timestamp`` is
    when it is signed, in seconds since the epoch.
    """

    predicate_type: str
    payload: bytes
    document: Digest = ""
    timestamp: int = 0

    @property
    def signed(self) -> bytes:
        """What the signature is over."""
        return dsse.encode_pae(dsse.IN_TOTO, self.payload)


def write_signatures(
    image: Image,
    place: Attachment,
    home: Home | None,
    key: PrivateKey,
    name: str,
    said: Sequence[SignableStatement],
    *,
    stale: AbstractSet[str] = frozenset(),
) -> tuple[Digest, ...]:
    """Sign each claim about the image's root and attach it in both forms; return the manifests' digests.

    ``stale`` are entries (`claims.entry_of`) that these take the place of. Counts once the place is finished.
    """
    written: list[Digest] = []
    envelopes = [
        dsse.Envelope(dsse.IN_TOTO, one.payload, (dsse.Signature(key.sign(one.signed)),)) for one in said
    ]
    older: dict[str, list[Descriptor]] = {simplesigning.PAYLOAD: [], dsse.ENVELOPE: []}
    for one, envelope in zip(said, envelopes, strict=True):
        layer = _put_cosign_layer(image, place, key, name, envelope, one)
        older[layer.media_type].append(layer)
    for media_type, kind, suffix in (
        (simplesigning.PAYLOAD, _SIGNATURES, ".sig"),
        (dsse.ENVELOPE, _ATTESTATIONS, ".att"),
    ):
        if older[media_type]:
            written.append(_write_cosign_manifest(image, place, home, older[media_type], kind, suffix, stale))
    for one, envelope in zip(said, envelopes, strict=True):
        written.append(_write_bundle(image, place, key, envelope, one))
    gone = [
        one.descriptor.digest for one in claims.read_attached_manifests(image, home) if _is_stale(one, stale)
    ]
    if gone:
        place.change(image.root.digest, [], gone)
    return tuple(written)


def write_docker_reference_signature(
    image: Image,
    place: Attachment,
    home: Home | None,
    key: PrivateKey,
    reference: str,
    timestamp: int,
    *,
    stale: AbstractSet[str] = frozenset(),
) -> Digest:
    """Sign the image's root as what lies at ``reference``, in the older form only; return the manifest."""
    payload = simplesigning.encode_payload(simplesigning.Payload(reference, image.root.digest, timestamp))
    layer = _put_signature(place, key, payload)
    return _write_cosign_manifest(image, place, home, [layer], _SIGNATURES, ".sig", stale)


def _put_signature(place: Attachment, key: PrivateKey, payload: bytes) -> Descriptor:
    layer = place.put(payload, simplesigning.PAYLOAD)
    return msgspec.structs.replace(
        layer, annotations={simplesigning.SIGNATURE: _encode_base64(key.sign(payload))}
    )


def _is_stale(one: AttachedManifest, stale: AbstractSet[str]) -> bool:
    """Whether it is a bundle of nothing but what is not to stay."""
    layers = one.manifest.layers
    return bool(layers) and all(
        sigstore.is_bundle(layer.media_type) and claims.entry_key(layer) in stale for layer in layers
    )


def _put_cosign_layer(
    image: Image,
    place: Attachment,
    key: PrivateKey,
    name: str,
    envelope: dsse.Envelope,
    one: SignableStatement,
) -> Descriptor:
    """Write the blob of a claim in cosign's older form: only its signatures are no statements."""
    if one.predicate_type != sigstore.SIGN:
        layer = place.put(dsse.encode_envelope(envelope), dsse.ENVELOPE)
        told = {
            simplesigning.SIGNATURE: "",
            claims.PREDICATE_TYPE: one.predicate_type,
            **_document_annotation(one),
        }
        return msgspec.structs.replace(layer, annotations=told)
    payload = simplesigning.Payload(name, image.root.digest, one.timestamp)
    return _put_signature(place, key, simplesigning.encode_payload(payload))


def _document_annotation(one: SignableStatement) -> dict[str, str]:
    return {oci.ATTESTED_DIGEST: one.document} if one.document else {}


def _encode_base64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()


def _write_bundle(
    image: Image, place: Attachment, key: PrivateKey, envelope: dsse.Envelope, one: SignableStatement
) -> Digest:
    uri = one.predicate_type
    bundle = sigstore.Bundle(envelope, sigstore.make_key_hint(key.public.der))
    layer = place.put(sigstore.encode_bundle(bundle), sigstore.BUNDLE)
    annotations = {
        sigstore.CONTENT: "dsse-envelope",
        sigstore.PREDICATE_TYPE: uri,
        **_document_annotation(one),
    }
    if uri != sigstore.SIGN:
        annotations[_IN_TOTO_PREDICATE_TYPE] = uri
    empty = place.put(_EMPTY, oci.EMPTY)
    return _attach_manifest(image, place, empty, (layer,), sigstore.BUNDLE, annotations)


def _write_cosign_manifest(
    image: Image,
    place: Attachment,
    home: Home | None,
    added: Sequence[Descriptor],
    kind: str,
    suffix: str,
    stale: AbstractSet[str],
) -> Digest:
    """Add layers to the one manifest with all of their kind, whose tag is made of the image's digest."""
    media_type = added[0].media_type
    before = [one for one in claims.read_attached_manifests(image, home) if _has_only_layers(one, media_type)]
    layers = {
        claims.entry_key(old): old
        for old in (*_all_layers(before), *added)
        if old in added or claims.entry_key(old) not in stale
    }
    for one in before:  # they may come from another place than the one that is written to
        for old in one.manifest.layers:
            if claims.entry_key(old) not in stale:
                with one.blobs.open(old.digest) as file:
                    place.put(file.read(old.size), old.media_type)
    listed = tuple(layers.values())
    config = place.put(simplesigning.encode_artifact_config([one.digest for one in listed]), oci.CONFIG)
    tag = f"sha256-{hex_of(image.root.digest)}{suffix}"
    old_ones = [one.descriptor.digest for one in before]
    return _attach_manifest(image, place, config, listed, kind, {}, tag=tag, instead=old_ones)


def _has_only_layers(one: AttachedManifest, media_type: str) -> bool:
    layers = one.manifest.layers
    return bool(layers) and all(layer.media_type == media_type for layer in layers)


def _all_layers(found: list[AttachedManifest]) -> Iterator[Descriptor]:
    for one in found:
        yield from one.manifest.layers


def _attach_manifest(
    image: Image,
    place: Attachment,
    config: Descriptor,
    layers: tuple[Descriptor, ...],
    kind: str,
    annotations: dict[str, str],
    *,
    tag: str = "",
    instead: Sequence[Digest] = (),
) -> Digest:
    root = image.root
    manifest = oci.Manifest(
        schema_version=2,
        media_type=oci.MANIFEST,
        artifact_type=kind,
        config=config,
        layers=layers,
        subject=Descriptor(root.media_type, root.digest, root.size),
        annotations=annotations,
    )
    written = place.put(oci.encode_document(manifest), oci.MANIFEST)
    listed = msgspec.structs.replace(
        written, artifact_type=kind, annotations={**annotations, **({oci.REF_NAME: tag} if tag else {})}
    )
    place.change(root.digest, [listed], [one for one in instead if one != written.digest])
    return written.digest
