"""Writing signed claims, each in cosign's older format and as a sigstore bundle.

Both refer to the image by its digest. cosign's older format has all signatures of an image in one
manifest and all attestations in another; each bundle has a manifest of its own.
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
    from pumice.image.transports.locations import Attachment
    from pumice.store.home import Home
    from pumice.trust.claims import AttachedManifest
    from pumice.trust.keys import PrivateKey

_SIGNATURES = "application/vnd.dev.cosign.artifact.sig.v1+json"
_ATTESTATIONS = "application/vnd.dev.cosign.artifact.att.v1+json"
_EMPTY = b"{}"
_IN_TOTO_PREDICATE_TYPE = "in-toto.io/predicate-type"
"""The annotation that other readers of referrers use."""


class SignableStatement(msgspec.Struct, frozen=True, kw_only=True):
    """A claim to sign; ``payload`` is an in-toto statement.

    ``document`` is the digest of the attached document that it attests, "" for none; ``timestamp`` is
    the signing time in seconds since the epoch.
    """

    predicate_type: str
    payload: bytes
    document: Digest = ""
    timestamp: int = 0

    @property
    def signed(self) -> bytes:
        """The bytes that the signature covers."""
        return dsse.encode_pae(dsse.IN_TOTO, self.payload)


def write_signatures(
    image: Image,
    location: Attachment,
    home: Home | None,
    key: PrivateKey,
    name: str,
    statements: Sequence[SignableStatement],
    *,
    stale: AbstractSet[str] = frozenset(),
) -> tuple[Digest, ...]:
    """Sign each statement about the image's root, attach it in both formats, and return the manifests.

    The new claims replace the entries in ``stale`` (`claims.entry_key`). They take effect when the caller
    finishes the location.
    """
    envelopes = [
        dsse.Envelope(dsse.IN_TOTO, statement.payload, (dsse.Signature(key.sign(statement.signed)),))
        for statement in statements
    ]
    pairs = list(zip(statements, envelopes, strict=True))
    cosign_layers = [
        _put_cosign_layer(image, location, key, name, envelope, statement) for statement, envelope in pairs
    ]
    manifest_digests = _write_cosign_manifests(image, location, home, cosign_layers, stale)
    manifest_digests += [
        _write_bundle(image, location, key, envelope, statement) for statement, envelope in pairs
    ]
    stale_manifests = [
        attached.descriptor.digest
        for attached in claims.read_attached_manifests(image, home)
        if _is_stale(attached, stale)
    ]
    if stale_manifests:
        location.change(image.root.digest, [], stale_manifests)
    return tuple(manifest_digests)


def write_docker_reference_signature(
    image: Image,
    location: Attachment,
    home: Home | None,
    key: PrivateKey,
    reference: str,
    timestamp: int,
    *,
    stale: AbstractSet[str] = frozenset(),
) -> Digest:
    """Sign the image's root as ``reference``, only in cosign's older format; return the manifest's digest."""
    payload = simplesigning.encode_payload(simplesigning.Payload(reference, image.root.digest, timestamp))
    layer = _put_signature(location, key, payload)
    return _write_cosign_manifest(image, location, home, [layer], _SIGNATURES, ".sig", stale)


def _write_cosign_manifests(
    image: Image,
    location: Attachment,
    home: Home | None,
    layers: Sequence[Descriptor],
    stale: AbstractSet[str],
) -> list[Digest]:
    """Write the manifest of all signatures and that of all attestations, as far as there are any."""
    manifest_digests = []
    for media_type, kind, suffix in (
        (simplesigning.PAYLOAD, _SIGNATURES, ".sig"),
        (dsse.ENVELOPE, _ATTESTATIONS, ".att"),
    ):
        layers_of_type = [layer for layer in layers if layer.media_type == media_type]
        if layers_of_type:
            manifest_digests.append(
                _write_cosign_manifest(image, location, home, layers_of_type, kind, suffix, stale)
            )
    return manifest_digests


def _put_signature(location: Attachment, key: PrivateKey, payload: bytes) -> Descriptor:
    layer = location.put(payload, simplesigning.PAYLOAD)
    return msgspec.structs.replace(
        layer, annotations={simplesigning.SIGNATURE: _encode_base64(key.sign(payload))}
    )


def _is_stale(attached: AttachedManifest, stale: AbstractSet[str]) -> bool:
    """Return whether all layers of a manifest are stale bundles."""
    layers = attached.manifest.layers
    return bool(layers) and all(
        sigstore.is_bundle(layer.media_type) and claims.entry_key(layer) in stale for layer in layers
    )


def _put_cosign_layer(
    image: Image,
    location: Attachment,
    key: PrivateKey,
    name: str,
    envelope: dsse.Envelope,
    statement: SignableStatement,
) -> Descriptor:
    """Write the blob of a claim in cosign's older format, in which only signatures are not statements."""
    if statement.predicate_type != sigstore.SIGN:
        layer = location.put(dsse.encode_envelope(envelope), dsse.ENVELOPE)
        annotations = {
            simplesigning.SIGNATURE: "",
            claims.PREDICATE_TYPE: statement.predicate_type,
            **_document_annotation(statement),
        }
        return msgspec.structs.replace(layer, annotations=annotations)
    payload = simplesigning.Payload(name, image.root.digest, statement.timestamp)
    return _put_signature(location, key, simplesigning.encode_payload(payload))


def _document_annotation(statement: SignableStatement) -> dict[str, str]:
    return {oci.ATTESTED_DIGEST: statement.document} if statement.document else {}


def _encode_base64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()


def _write_bundle(
    image: Image, location: Attachment, key: PrivateKey, envelope: dsse.Envelope, statement: SignableStatement
) -> Digest:
    bundle = sigstore.Bundle(envelope, sigstore.make_key_hint(key.public_key.der))
    return attach_bundle(image, location, sigstore.encode_bundle(bundle), statement)


def attach_bundle(image: Image, location: Attachment, bundle: bytes, statement: SignableStatement) -> Digest:
    """Attach a bundle that signs a statement about the image's root; return the manifest's digest."""
    uri = statement.predicate_type
    layer = location.put(bundle, sigstore.BUNDLE)
    annotations = {
        sigstore.CONTENT: "dsse-envelope",
        sigstore.PREDICATE_TYPE: uri,
        **_document_annotation(statement),
    }
    if uri != sigstore.SIGN:
        annotations[_IN_TOTO_PREDICATE_TYPE] = uri
    empty = location.put(_EMPTY, oci.EMPTY)
    return _attach_manifest(image, location, empty, (layer,), sigstore.BUNDLE, annotations)


def _write_cosign_manifest(
    image: Image,
    location: Attachment,
    home: Home | None,
    added: Sequence[Descriptor],
    kind: str,
    suffix: str,
    stale: AbstractSet[str],
) -> Digest:
    """Add layers to the manifest of their kind, whose tag contains the image's digest."""
    media_type = added[0].media_type
    old_manifests = [
        attached
        for attached in claims.read_attached_manifests(image, home)
        if _has_only_layers(attached, media_type)
    ]
    layers = {
        claims.entry_key(old): old
        for old in (*_all_layers(old_manifests), *added)
        if old in added or claims.entry_key(old) not in stale
    }
    for old_manifest in old_manifests:  # they may be from another location
        for old in old_manifest.manifest.layers:
            if claims.entry_key(old) not in stale:
                with old_manifest.blobs.open(old.digest) as file:
                    location.put(file.read(old.size), old.media_type)
    all_layers = tuple(layers.values())
    config = location.put(
        simplesigning.encode_artifact_config([layer.digest for layer in all_layers]), oci.CONFIG
    )
    tag = f"sha256-{hex_of(image.root.digest)}{suffix}"
    old_digests = [old_manifest.descriptor.digest for old_manifest in old_manifests]
    return _attach_manifest(image, location, config, all_layers, kind, {}, tag=tag, replaced=old_digests)


def _has_only_layers(attached: AttachedManifest, media_type: str) -> bool:
    layers = attached.manifest.layers
    return bool(layers) and all(layer.media_type == media_type for layer in layers)


def _all_layers(manifests: list[AttachedManifest]) -> Iterator[Descriptor]:
    for attached in manifests:
        yield from attached.manifest.layers


def _attach_manifest(
    image: Image,
    location: Attachment,
    config: Descriptor,
    layers: tuple[Descriptor, ...],
    kind: str,
    annotations: dict[str, str],
    *,
    tag: str = "",
    replaced: Sequence[Digest] = (),
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
    descriptor = location.put(oci.encode_document(manifest), oci.MANIFEST)
    referrer = msgspec.structs.replace(
        descriptor, artifact_type=kind, annotations={**annotations, **({oci.REF_NAME: tag} if tag else {})}
    )
    location.change(root.digest, [referrer], [digest for digest in replaced if digest != descriptor.digest])
    return descriptor.digest
