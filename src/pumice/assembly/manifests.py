"""The OCI documents of an image: config, manifest and index (image-spec 1.1), written to the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.formats import oci, platforms
from pumice.packing.config import image_config, standard_annotations
from pumice.store.blobs import write_blob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.packing.compose import ComposedLayer
    from pumice.recipe.model import Recipe
    from pumice.store.blobs import Blobs


def write_manifest(
    recipe: Recipe,
    architecture: str,
    layers: Sequence[ComposedLayer],
    *,
    created: int,
    user: str,
    blobs: Blobs,
) -> tuple[oci.Descriptor, oci.Descriptor]:
    """Write the config and the manifest of ``layers``; return the manifest's descriptor and the config's.

    ``created`` is in seconds since 1970, ``user`` numeric.
    """
    titled_layers = [(layer.title, layer.layer) for layer in layers]
    config_document = oci.encode_document(
        image_config(recipe, architecture, titled_layers, created=created, user=user)
    )
    config_descriptor = _write_document(config_document, oci.CONFIG, blobs)
    manifest = oci.make_manifest(
        config_descriptor,
        tuple(oci.Descriptor(oci.LAYER_GZIP, layer.digest, layer.size) for _, layer in titled_layers),
        annotations=standard_annotations(recipe, created),
    )
    descriptor = _write_document(oci.encode_document(manifest), oci.MANIFEST, blobs)
    platform = platforms.from_debian(architecture)
    return msgspec.structs.replace(descriptor, platform=platform), config_descriptor


def write_index(
    recipe: Recipe, manifests: Sequence[oci.Descriptor], created: int, blobs: Blobs
) -> oci.Descriptor:
    """Write the index of an image with several platforms and return its descriptor."""
    index = oci.make_index(tuple(manifests), annotations=standard_annotations(recipe, created))
    return _write_document(oci.encode_document(index), oci.INDEX, blobs)


def _write_document(data: bytes, media_type: str, blobs: Blobs) -> oci.Descriptor:
    write_blob(data, blobs)
    return oci.make_descriptor(data, media_type)
