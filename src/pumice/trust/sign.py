"""Signing: what is written, so that cosign 2, cosign 3, skopeo, podman and Pumice all read it.

Each signature and attestation is written twice: as cosign's older artifact, which has every
signature of an image in one manifest, and as a sigstore bundle. Both refer to the image by its
digest, are the same for the same key and image, and name the image by the recipe's
``name:version``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice import canonical, digest
from pumice.digest import hex_of
from pumice.errors import TrustError, UsageError
from pumice.formats import dsse, oci, sigstore, simplesigning, statement
from pumice.formats.oci import Descriptor
from pumice.trust import claims, keys, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pumice.digest import Digest
    from pumice.image.model import Image
    from pumice.store.home import Home
    from pumice.trust.claims import Attached, Claim
    from pumice.trust.keys import PrivateKey, PublicKey
    from pumice.trust.places import Place

_SIGNATURES = "application/vnd.dev.cosign.artifact.sig.v1+json"
_ATTESTATIONS = "application/vnd.dev.cosign.artifact.att.v1+json"
_EMPTY = b"{}"
_PREDICATE_TYPE = "in-toto.io/predicate-type"
"""What other readers of referrers look at."""


class Signer(msgspec.Struct, frozen=True):
    """A key that is opened only when there is something to sign."""

    public: PublicKey
    open: Callable[[], PrivateKey]


class Signed(msgspec.Struct, frozen=True):
    """What was done: the image, the name it was signed as, and whether anything was ``new``."""

    digest: Digest
    name: str
    fingerprint: str
    new: bool


def identity(image: Image, given: str = "") -> str:
    """Return the ``name:version`` to sign an image as; raises UsageError if there is none to be had."""
    name = given or names.own(image)
    if not name:
        raise UsageError(
            "the image does not say what it is called",
            hint="say --as NAME:VERSION, and mind that others trust it",
        )
    return names.check(name)


def sign(image: Image, place: Place, home: Home | None, signer: Signer, *, name: str = "") -> Signed:
    """Sign an image and, of an index, the image of each platform, under ``name`` or its own.

    What this key has signed under this name already stays as it is; then the key is not opened.
    """
    name = identity(image, name)
    todo = [one for one in _subjects(image) if not _is_signed(one, home, signer.public, name)]
    if todo:
        key = _opened(signer)
        for one in todo:
            _write_signature(one, place, home, key, name)
        place.finish()
    return Signed(image.root.digest, name, signer.public.fingerprint, bool(todo))


def attest(
    image: Image,
    place: Place,
    home: Home | None,
    signer: Signer,
    *,
    predicate_type: str,
    predicate: Any,
    name: str = "",
) -> Signed:
    """State ``predicate`` (JSON) about an image, unless this key has stated just that already."""
    name = identity(image, name)
    uri = statement.predicate_type(predicate_type)
    if uri == sigstore.SIGN:
        raise UsageError("a signature is no attestation", hint="use pumice sign")
    root = image.root.digest
    payload = statement.encode(statement.Statement((statement.Subject(name, root),), uri, predicate))
    signed = dsse.pae(dsse.IN_TOTO, payload)
    if any(claim.signed == signed and _by(claim, signer.public) for claim in claims.read(image, home)):
        return Signed(root, name, signer.public.fingerprint, new=False)
    key = _opened(signer)
    envelope = dsse.Envelope(dsse.IN_TOTO, payload, (dsse.Signature(key.sign(signed)),))
    _write_bundle(image, place, key, envelope, uri)
    layer = place.put(dsse.encode(envelope), dsse.ENVELOPE)
    layer = msgspec.structs.replace(layer, annotations={simplesigning.SIGNATURE: "", "predicateType": uri})
    _write_older(image, place, home, layer, _ATTESTATIONS, ".att")
    place.finish()
    return Signed(root, name, signer.public.fingerprint, new=True)


def _subjects(image: Image) -> Iterator[Image]:
    """Podman and skopeo look for a signature of the platform's manifest that they copy, not of the index."""
    yield image
    for descriptor, _ in image.members():
        if descriptor.digest != image.root.digest:
            yield image.at(descriptor)


def _is_signed(image: Image, home: Home | None, key: PublicKey, name: str) -> bool:
    forms = {
        claim.form
        for claim in claims.read(image, home)
        if claim.is_signature
        and claim.subject == image.root.digest
        and claim.names == (name,)
        and _by(claim, key)
    }
    return forms == {"cosign", "bundle"}


def _by(claim: Claim, key: PublicKey) -> bool:
    return any(keys.holds(key, signature, claim.signed) for signature in claim.signatures)


def _opened(signer: Signer) -> PrivateKey:
    key = signer.open()
    if key.public != signer.public:
        raise TrustError("the private key and the public key beside it are not a pair")
    return key


def _write_signature(image: Image, place: Place, home: Home | None, key: PrivateKey, name: str) -> None:
    root = image.root.digest
    payload = simplesigning.encode(simplesigning.Payload(name, root))
    layer = place.put(payload, simplesigning.PAYLOAD)
    layer = msgspec.structs.replace(layer, annotations={simplesigning.SIGNATURE: _text(key.sign(payload))})
    _write_older(image, place, home, layer, _SIGNATURES, ".sig")
    said = statement.encode(statement.Statement((statement.Subject(name, root),), sigstore.SIGN, {}))
    signature = dsse.Signature(key.sign(dsse.pae(dsse.IN_TOTO, said)))
    _write_bundle(image, place, key, dsse.Envelope(dsse.IN_TOTO, said, (signature,)), sigstore.SIGN)


def _text(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()


def _write_bundle(image: Image, place: Place, key: PrivateKey, envelope: dsse.Envelope, uri: str) -> None:
    bundle = sigstore.Bundle(envelope, sigstore.hint(key.public.der))
    layer = place.put(sigstore.encode(bundle), sigstore.BUNDLE)
    annotations = {sigstore.CONTENT: "dsse-envelope", sigstore.PREDICATE_TYPE: uri}
    if uri != sigstore.SIGN:
        annotations[_PREDICATE_TYPE] = uri
    empty = place.put(_EMPTY, oci.EMPTY)
    _refer(image, place, empty, (layer,), sigstore.BUNDLE, annotations)


def _write_older(
    image: Image, place: Place, home: Home | None, layer: Descriptor, kind: str, suffix: str
) -> None:
    """Add a layer to the one manifest with all of its kind, whose tag is made of the image's digest."""
    media_type = layer.media_type
    before = [one for one in claims.attached(image, home) if _holds_only(one, media_type)]
    layers = {old.digest + old.annotations.get(simplesigning.SIGNATURE, ""): old for old in _layers(before)}
    layers[layer.digest + layer.annotations.get(simplesigning.SIGNATURE, "")] = layer
    for one in before:  # they may come from another place than the one that is written to
        for old in one.manifest.layers:
            with one.blobs.open(old.digest) as file:
                place.put(file.read(old.size), old.media_type)
    listed = tuple(layers.values())
    config = place.put(_config([one.digest for one in listed]), oci.CONFIG)
    tag = f"sha256-{hex_of(image.root.digest)}{suffix}"
    old_ones = [one.descriptor.digest for one in before]
    _refer(image, place, config, listed, kind, {}, tag=tag, instead=old_ones)


def _holds_only(one: Attached, media_type: str) -> bool:
    layers = one.manifest.layers
    return bool(layers) and all(layer.media_type == media_type for layer in layers)


def _layers(found: list[Attached]) -> Iterator[Descriptor]:
    for one in found:
        yield from one.manifest.layers


def _config(diff_ids: list[Digest]) -> bytes:
    """The config that cosign gives to its artifacts: an image's, of nothing."""
    return canonical.dumps(
        {"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    )


def _refer(
    image: Image,
    place: Place,
    config: Descriptor,
    layers: tuple[Descriptor, ...],
    kind: str,
    annotations: dict[str, str],
    *,
    tag: str = "",
    instead: list[Digest] | None = None,
) -> None:
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
    data = oci.encode(manifest)
    written = place.put(data, oci.MANIFEST)
    listed = msgspec.structs.replace(
        written, artifact_type=kind, annotations={**annotations, **({oci.REF_NAME: tag} if tag else {})}
    )
    gone = [one for one in instead or [] if one != digest.of(data)]
    place.change(root.digest, [listed], gone)
