"""Reads and stores manifests (distribution-spec 1.1, "Pulling manifests" and "Pushing Manifests")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import TrustError
from pumice.formats import oci
from pumice.registry import blob_content
from pumice.registry.errors import NotFoundError, response_error
from pumice.registry.message import Request
from pumice.registry.raw_manifest import ACCEPT, PushedManifest, read_head_response, read_manifest_response
from pumice.registry.reference import is_digest

if TYPE_CHECKING:
    from pumice.registry.message import Exchange, SendRequest
    from pumice.registry.raw_manifest import RawManifest
    from pumice.registry.reference import Reference


def head_manifest(
    send_request: SendRequest, url: str, reference: Reference
) -> Exchange[oci.Descriptor | None]:
    """Return the descriptor of a manifest, None if it does not exist; uses GET if HEAD says too little."""
    response = yield from send_request(Request("HEAD", url, (("Accept", ACCEPT),)))
    if response.status == 404:
        return None
    descriptor = read_head_response(response)
    if descriptor is None:
        try:
            manifest = yield from get_manifest(send_request, url, reference)
        except NotFoundError:
            return None
        return manifest.descriptor
    if reference.digest and descriptor.digest != reference.digest:
        raise _wrong_digest_error(descriptor.digest, str(reference))
    return descriptor


def get_manifest(send_request: SendRequest, url: str, reference: Reference) -> Exchange[RawManifest]:
    """Return a manifest or index; raises NotFoundError, TrustError for another digest, and FormatError."""
    where = str(reference)
    response = yield from send_request(Request("GET", url, (("Accept", ACCEPT),), limit=oci.MAX_DOCUMENT))
    if response.status != 200:
        raise response_error(response, where)
    digest = reference.digest or response.header("Docker-Content-Digest")
    if not is_digest(digest):
        digest = blob_content.digest_of(response.content)
    blob_content.verify_digest(response.content, digest, where)
    return read_manifest_response(response, digest, where)


def put_manifest(
    send_request: SendRequest, request: Request, digest: str, where: str
) -> Exchange[PushedManifest]:
    """Send the request that stores a manifest; raises TrustError if the registry has another digest."""
    response = yield from send_request(request)
    if response.status not in (200, 201, 202, 204):
        raise response_error(response, where)
    stored_digest = response.header("Docker-Content-Digest")
    has_same_algorithm = stored_digest.partition(":")[0] == digest.partition(":")[0]
    if is_digest(stored_digest) and has_same_algorithm and stored_digest != digest:
        raise _wrong_digest_error(stored_digest, where)
    return PushedManifest(digest, is_listed=bool(response.header("OCI-Subject")))


def _wrong_digest_error(digest: str, where: str) -> TrustError:
    return TrustError(f"the registry reports another digest: {digest}", where=where)
