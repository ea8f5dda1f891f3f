"""What a registry has and keeps, as a client gives it."""

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
"""Sent with every question for a manifest: some registries hide what is not asked for."""


_MANIFEST_TYPES = oci.MANIFESTS | oci.INDEXES | {"application/vnd.oci.artifact.manifest.v1+json"}


class RawManifest(msgspec.Struct, frozen=True):
    """A manifest or index: the bytes as they were received, and what is known of them."""

    digest: str
    media_type: str
    data: bytes
    etag: str = ""
    """What the registry calls this state of the reference, where it says so."""

    @property
    def descriptor(self) -> oci.Descriptor:
        """A descriptor of it."""
        return oci.Descriptor(self.media_type, self.digest, len(self.data))

    def json(self) -> dict[str, Any]:
        """Return its JSON with everything in it; raises FormatError."""
        try:
            decoded = msgspec.json.decode(self.data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            decoded = None
        if not isinstance(decoded, dict):
            raise FormatError("the manifest is not a JSON object", where=self.digest)
        return decoded


class PushedManifest(msgspec.Struct, frozen=True):
    """What became of a manifest: ``listed`` says that the registry lists it as a referrer by itself."""

    digest: str
    is_listed: bool


def read_manifest_response(response: Response, digest: str, where: str) -> RawManifest:
    """Return the manifest or index that an answer carries; raises FormatError.

    What it says of itself counts before the header, which registries and proxies get wrong.
    """
    document = RawManifest(digest, _content_type(response), response.content, response.header("ETag"))
    try:
        content = document.json()
    except FormatError:
        if "html" in document.media_type:
            raise FormatError(
                "the registry answers with a web page instead of a manifest", where=where
            ) from None
        raise
    if content.get("schemaVersion") == 1 or "fsLayers" in content:
        raise FormatError(
            "the image is in Docker's version 1 form, which nothing writes any more", where=where
        )
    media_type_field = content.get("mediaType")
    if isinstance(media_type_field, str) and media_type_field:
        return msgspec.structs.replace(document, media_type=media_type_field)
    if document.media_type in _MANIFEST_TYPES:
        return document
    return msgspec.structs.replace(document, media_type=oci.INDEX if "manifests" in content else oci.MANIFEST)


def read_head_response(response: Response) -> oci.Descriptor | None:
    """Return what the answer to a HEAD says of a manifest, None if it does not say enough to be relied on.

    Some registries refuse HEAD, or answer with a length of 0 or another type; the length of a compressed
    answer is not the manifest's.
    """
    digest = response.header("Docker-Content-Digest")
    size = headers.parse_number(response.header("Content-Length"))
    media_type = _content_type(response)
    if response.status != 200 or not is_digest(digest) or not size or media_type not in _MANIFEST_TYPES:
        return None
    return None if response.header("Content-Encoding") else oci.Descriptor(media_type, digest, size)


def _content_type(response: Response) -> str:
    return response.header("Content-Type").partition(";")[0].strip().lower()
