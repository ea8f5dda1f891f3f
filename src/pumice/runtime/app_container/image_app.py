"""The App Container manifest of an image that was converted from an App Container image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.formats import oci

if TYPE_CHECKING:
    from pumice.appc.app import App
    from pumice.appc.image_manifest import ImageManifest
    from pumice.appc.isolators import Isolator
    from pumice.image.model import Image


class AppContainerImage(msgspec.Struct, frozen=True):
    """The manifest of an App Container image, and its image ID."""

    manifest: ImageManifest
    image_id: str


def find_app_container_image(image: Image) -> AppContainerImage | None:
    """Return what an image of one platform was converted from; None if it was not, or was changed since."""
    annotations = oci.read_manifest(image.document(image.root)).annotations
    if "dev.pumice.appc.manifest" not in annotations:  # without importing what reads it
        return None
    from pumice.image import aci_conversion

    manifest = oci.read_manifest(image.document(image.root))
    config = aci_conversion.read_config(image.document(manifest.config))
    documents = aci_conversion.OciDocuments(config, annotations)
    origin = aci_conversion.find_origin(documents)
    if origin is None:
        return None
    return AppContainerImage(origin, annotations.get(aci_conversion.APPC_IMAGE_ID, ""))


def read_pod_isolators(data: bytes) -> tuple[Isolator, ...]:
    """Return the isolators of a whole pod, which `pod_inputs` has read before."""
    from pumice.appc.isolators import Isolator

    return msgspec.json.decode(data, type=tuple[Isolator, ...]) if data else ()


def read_pod_app(data: bytes) -> App:
    """Return the app that a pod manifest has for an image; raises FormatError."""
    from pumice.appc.app import read_app
    from pumice.appc.findings import Findings

    return read_app(msgspec.json.decode(data), "app", Findings())
