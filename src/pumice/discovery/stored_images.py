"""Finds an image in the store that is the requested one, and decides whether it may be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.appc.image_manifest import read_image_manifest
from pumice.discovery.labels import check_manifest, check_oci_labels
from pumice.errors import FormatError, TrustError
from pumice.formats import oci
from pumice.image.aci_conversion import APPC_IMAGE_ID, APPC_MANIFEST
from pumice.image.model import Image
from pumice.trust import admission, version_order

if TYPE_CHECKING:
    from pumice.discovery.aci_fetch import TrustOptions
    from pumice.discovery.labels import ImageRequest
    from pumice.progress import Progress
    from pumice.store.home import Home


class FetchedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image in the store: ``image_id`` is that of an App Container image, "" for others.

    ``url`` is where it is from, "" if the network was not used.
    """

    name: str
    digest: str
    image_id: str = ""
    url: str = ""
    size: int = 0
    is_new: bool = False
    is_verified: bool = False


def find_stored(request: ImageRequest, home: Home) -> FetchedImage | None:
    """Return the image in the store that has the name and the required labels, None if there is none.

    Without a version it is the newest one.
    """
    prefix = f"{request.name}:"
    versions = [name.removeprefix(prefix) for name in home.refs.names() if name.startswith(prefix)]
    for version in version_order.sort_newest_first(versions):
        stored = (
            None if request.version not in ("", version) else describe_stored(prefix + version, request, home)
        )
        if stored is not None:
            return stored
    return None


def describe_stored(full_name: str, request: ImageRequest, home: Home) -> FetchedImage | None:
    """Return the image of a name in the store, None if it is not the requested one."""
    descriptor = home.refs.get(full_name)
    size = None if descriptor is None else home.blobs.size(descriptor.digest)
    if descriptor is None or size is None or size > oci.MAX_DOCUMENT:
        return None
    image = Image(descriptor, home.blobs)
    data = image.document(descriptor)
    read = oci.read_index if oci.is_index(data, descriptor.media_type) else oci.read_manifest
    annotations = read(data).annotations
    try:
        if text := annotations.get(APPC_MANIFEST):
            check_manifest(read_image_manifest(text.encode())[0], request, full_name)
        else:
            check_oci_labels(image, request, full_name)
    except FormatError:
        return None
    return FetchedImage(name=full_name, digest=descriptor.digest, image_id=annotations.get(APPC_IMAGE_ID, ""))


def admit_stored(
    stored: FetchedImage, request: ImageRequest, home: Home, trust: TrustOptions, progress: Progress
) -> FetchedImage | None:
    """Return a stored image with whether it is verified, None if it is not admitted any more.

    Since it was fetched its key may have been revoked or removed. Raises StoreError.
    """
    descriptor = home.refs.get(stored.name)
    if descriptor is None or descriptor.digest != stored.digest:
        return None
    try:
        decision = admission.admit(
            Image(descriptor, home.blobs),
            "pull",
            home,
            admission.AdmissionRequest(
                reference=stored.name, name=str(request), allow_older=trust.allow_older
            ),
            progress=progress,
            directories=trust.directories,
            now=trust.now,
            insecure=trust.insecure,
        )
    except TrustError:
        return None
    return msgspec.structs.replace(stored, is_verified=bool(decision.signatures))
