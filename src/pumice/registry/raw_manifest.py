"""Manifests and indexes as registries return them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.errors import FormatError
from pumice.formats import oci
from pumice.registry import headers
from pumice.registry.reference import is_digest

if TYPE_CHECKING:
    from pumice.registry.message import Response

ACCEPT = ", ".join(
    [
        oci.INDEX,
        oci.MANIFEST,
        oci.DOCKER_INDEX,
        oci.DOCKER_MANIFEST,
        "application/vnd.oci.artifact.manifest.v1+json",
        "*/*",
    ]
)
"""Sent with every request for a manifest: some registries return 404 for media types not listed."""


_MANIFEST_TYPES = oci.MANIFESTS | oci.INDEXES | {"application/vnd.oci.artifact.manifest.v1+json"}


class RawManifest(msgspec.Struct, frozen=True):
    """A manifest or index: the bytes as received, with their digest and media type."""

    digest: str
    media_type: str
    data: bytes
    etag: str = ""
    """The ETag header, "" without one."""

    @property
    def descriptor(self) -> oci.Descriptor:
        """The descriptor of the manifest."""
        return oci.Descriptor(self.media_type, self.digest, len(self.data))

    def json(self) -> dict[str, Any]:
        """Return the decoded JSON with all fields; raises FormatError."""
        try:
            decoded = msgspec.json.decode(self.data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            decoded = None
        if not isinstance(decoded, dict):
            raise FormatError("the manifest is not a JSON object", where=self.digest)
        return decoded


class PushedManifest(msgspec.Struct, frozen=True):
    """A stored manifest; ``is_listed`` if the registry lists it as a referrer itself (OCI-Subject)."""

    digest: str
    is_listed: bool


def read_manifest_response(response: Response, digest: str, where: str) -> RawManifest:
    """Return the manifest or index in a response; raises FormatError.

    Its ``mediaType`` takes precedence over the header, which some registries and proxies get wrong.
    """
    document = RawManifest(digest, _content_type(response), response.content, response.header("ETag"))
    try:
        content = document.json()
    except FormatError:
        if "html" in document.media_type:
            raise FormatError("the registry returned a web page instead of a manifest", where=where) from None
        raise
    if content.get("schemaVersion") == 1 or "fsLayers" in content:
        raise FormatError(
            "the image has a Docker manifest of schema version 1, which is not supported", where=where
        )
    media_type_field = content.get("mediaType")
    if isinstance(media_type_field, str) and media_type_field:
        return msgspec.structs.replace(document, media_type=media_type_field)
    if document.media_type in _MANIFEST_TYPES:
        return document
    return msgspec.structs.replace(document, media_type=oci.INDEX if "manifests" in content else oci.MANIFEST)


def read_head_response(response: Response) -> oci.Descriptor | None:
    """Return the descriptor in the headers of a response to HEAD, None if they are not reliable.

    Some registries refuse HEAD, or respond with a length of 0 or another type. The length of a compressed
    response is not the size of the manifest.
    """
    digest = response.header("Docker-Content-Digest")
    size = headers.parse_number(response.header("Content-Length"))
    media_type = _content_type(response)
    if response.status != 200 or not is_digest(digest) or not size or media_type not in _MANIFEST_TYPES:
        return None
    return None if response.header("Content-Encoding") else oci.Descriptor(media_type, digest, size)


def _content_type(response: Response) -> str:
    return response.header("Content-Type").partition(";")[0].strip().lower()
