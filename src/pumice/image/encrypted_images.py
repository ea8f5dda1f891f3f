"""Images whose layers are encrypted or decrypted: all else stays, but manifests get other digests."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from pumice import canonical, digest
from pumice.errors import UsageError
from pumice.formats import oci
from pumice.image import layer_encryption
from pumice.image.model import Image
from pumice.terminal import format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.image.layer_encryption import Decryptor, Recipients, StoredBlob
    from pumice.image.model import BlobSource

    Transform = Callable[[Descriptor, BinaryIO], StoredBlob]


def encrypt_image(image: Image, recipients: Recipients, numbers: Sequence[int] = ()) -> Image:
    """Return an image with encrypted layers: all, or those with ``numbers``, where -1 is the last one.

    Layers that are encrypted already stay. Signatures and other referrers are of another digest and left out.
    Raises UsageError for a manifest of docker or a number without a layer, and the errors of reading.
    """

    def select(layers: Sequence[Descriptor]) -> set[int]:
        if any(not -len(layers) <= number < len(layers) for number in numbers):
            raise UsageError(
                f"the image has {format_count(len(layers), 'layer')}",
                hint="count them from 0, or from -1 backwards",
            )
        chosen = {number % len(layers) for number in numbers} if numbers else set(range(len(layers)))
        return {index for index in chosen if not layer_encryption.is_encrypted(layers[index])}

    return _transform(
        image, select, lambda layer, content: layer_encryption.encrypt_layer(layer, content, recipients)
    )


def decrypt_image(image: Image, decryptor: Decryptor) -> Image:
    """Return an image with decrypted layers; raises TrustError if no key fits, and the errors of reading.

    An image without encrypted layers is returned as it is.
    """

    def select(layers: Sequence[Descriptor]) -> set[int]:
        return {index for index, layer in enumerate(layers) if layer_encryption.is_encrypted(layer)}

    return _transform(
        image, select, lambda layer, content: layer_encryption.decrypt_layer(layer, content, decryptor)
    )


class _Blobs:
    """The blobs of an image with those that replace some of them."""

    def __init__(self, original: BlobSource) -> None:
        self.documents: dict[Digest, bytes] = {}
        self.layers: dict[Digest, StoredBlob] = {}
        self._original = original

    def open(self, digest_: Digest) -> BinaryIO:
        """Open a blob; raises ImageError if there is none."""
        if digest_ in self.documents:
            return io.BytesIO(self.documents[digest_])
        if digest_ in self.layers:
            return self.layers[digest_].open()
        return self._original.open(digest_)


def _transform(
    image: Image, select: Callable[[Sequence[Descriptor]], set[int]], transform: Transform
) -> Image:
    blobs = _Blobs(image.blobs)
    root = _transform_document(image, image.root, blobs, select, transform)
    return image if root == image.root else Image(root, blobs)


def _transform_document(
    image: Image,
    descriptor: Descriptor,
    blobs: _Blobs,
    select: Callable[[Sequence[Descriptor]], set[int]],
    transform: Transform,
) -> Descriptor:
    """Return the descriptor of a manifest or an index after its layers were transformed."""
    data = image.document(descriptor)
    document: dict[str, Any] = json.loads(data)
    if oci.is_index(data, descriptor.media_type):
        manifests = oci.read_index(data).manifests
        changed = [
            _transform_document(image, manifest, blobs, select, transform)
            if oci.is_document(manifest)
            else manifest
            for manifest in manifests
        ]
        if changed == list(manifests):
            return descriptor
        entries = zip(document["manifests"], changed, strict=True)
        document["manifests"] = [_merge(old, new) for old, new in entries]
    else:
        manifest = oci.read_manifest(data)
        numbers = select(manifest.layers)
        if not numbers:
            return descriptor
        for number, layer in _transform_layers(image, manifest, numbers, blobs, transform).items():
            document["layers"][number] = _merge(document["layers"][number], layer)
    encoded = canonical.dumps(document)
    blobs.documents[digest.of(encoded)] = encoded
    return _replace(descriptor, encoded)


def _transform_layers(
    image: Image, manifest: oci.Manifest, numbers: set[int], blobs: _Blobs, transform: Transform
) -> dict[int, Descriptor]:
    """Transform the layers with ``numbers``, add them to ``blobs``, and return their new descriptors."""
    if manifest.config.media_type != oci.CONFIG:
        raise UsageError(
            "only images of OCI have encrypted layers",
            hint="copy the image to oci:DIR with another tool first, which converts it",
        )
    layers: dict[int, Descriptor] = {}
    for number in sorted(numbers):
        layer = manifest.layers[number]
        with image.blobs.open(layer.digest) as content:
            stored = transform(layer, content)
        blobs.layers[stored.descriptor.digest] = stored
        layers[number] = stored.descriptor
    return layers


def _merge(old: dict[str, Any], new: Descriptor) -> dict[str, Any]:
    """Return a descriptor as JSON, with the members of the old one that it does not have."""
    merged = {**old, "mediaType": new.media_type, "digest": new.digest, "size": new.size}
    merged.pop("annotations", None)
    return {**merged, **({"annotations": new.annotations} if new.annotations else {})}


def _replace(descriptor: Descriptor, data: bytes) -> Descriptor:
    return msgspec.structs.replace(descriptor, digest=digest.of(data), size=len(data))
