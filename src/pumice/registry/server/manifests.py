"""The fields of a manifest that the server needs when it is pushed; it is stored byte for byte.

Any JSON object can be a manifest: unknown media types and fields are not errors. References are read from
the fields of image-spec 1.1 and of Docker's formats.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pumice import canonical
from pumice.errors import FormatError
from pumice.formats import oci, strictjson
from pumice.registry.server.grammar import DIGEST, quote

MAX_MANIFEST = 4 << 20
_GENERIC = frozenset({"", "application/json", "application/octet-stream", "text/plain"})
_KNOWN = frozenset({oci.MANIFEST, oci.INDEX, oci.DOCKER_MANIFEST, oci.DOCKER_INDEX})


class ReferencedContent(msgspec.Struct, frozen=True):
    """A manifest or blob that the repository must have."""

    digest: str
    size: int
    is_manifest: bool


class RequiredFields(msgspec.Struct, frozen=True):
    """The fields of a manifest that the server needs."""

    media_type: str
    references: tuple[ReferencedContent, ...]
    subject: str | None
    artifact_type: str
    annotations: dict[str, str]


def parse(body: bytes, content_type: str) -> RequiredFields:
    """Return the fields of a manifest pushed as ``content_type``; raises FormatError to refuse it."""
    document = strictjson.read_object(body, "manifest", limit=MAX_MANIFEST)
    media_type = _media_type(document, content_type)
    if media_type in _KNOWN and document.get("schemaVersion") != 2:
        raise FormatError("the manifest's schemaVersion is not 2")
    config = _object(document, "config")
    subject = _object(document, "subject")
    references = [ReferencedContent(*_digest_and_size(config, "config"), is_manifest=False)] if config else []
    references += [
        ReferencedContent(*_digest_and_size(descriptor, key), is_manifest=False)
        for key in ("layers", "blobs")
        for descriptor in _objects(document, key)
        if not _may_be_missing(descriptor)
    ]
    references += [
        ReferencedContent(*_digest_and_size(descriptor, "manifests"), is_manifest=True)
        for descriptor in _objects(document, "manifests")
    ]
    return RequiredFields(
        media_type,
        tuple(references),
        _digest_and_size(subject, "subject")[0] if subject else None,
        _artifact_type(document, config),
        _annotations(document),
    )


def referrer_descriptor(fields: RequiredFields, digest: str, size: int) -> bytes:
    """Return the descriptor of a manifest for the list of referrers of its subject (image-spec 1.1)."""
    descriptor: dict[str, Any] = {"mediaType": fields.media_type, "digest": digest, "size": size}
    if fields.artifact_type:
        descriptor["artifactType"] = fields.artifact_type
    if fields.annotations:
        descriptor["annotations"] = fields.annotations
    return canonical.dumps(descriptor)


def _media_type(document: dict[str, Any], content_type: str) -> str:
    declared = content_type.partition(";")[0].strip().lower()
    declared_type = document.get("mediaType")
    if declared_type is not None and (
        not isinstance(declared_type, str) or not _is_media_type(declared_type)
    ):
        raise FormatError("the manifest's mediaType is not a media type")
    if declared not in _GENERIC:
        if not _is_media_type(declared):
            raise FormatError("the Content-Type is not a media type")
        if declared_type is not None and declared_type.lower() != declared:
            raise FormatError(
                f"the Content-Type is {quote(declared)}, but the manifest has {quote(declared_type)}"
            )
        return declared_type or declared
    return declared_type or (oci.INDEX if "manifests" in document else oci.MANIFEST)


def _is_media_type(text: str) -> bool:
    kind, slash, subtype = text.partition("/")
    invalid = set(text) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&-^_.+/")
    return bool(kind and slash and subtype) and not invalid and text.count("/") == 1 and len(text) <= 255


def _object(document: dict[str, Any], key: str) -> dict[str, Any] | None:
    value = document.get(key)
    if value is not None and not isinstance(value, dict):
        raise FormatError(f"the manifest's {key} is not an object")
    return value


def _objects(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise FormatError(f"the manifest's {key} is not a list of objects")
    return value


def _digest_and_size(descriptor: dict[str, Any], field: str) -> tuple[str, int]:
    digest, size = descriptor.get("digest"), descriptor.get("size")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise FormatError(f"a digest in the manifest's {field} is not a sha256 or sha512 digest")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 1 << 63:
        raise FormatError(f"a size in the manifest's {field} is not a number of bytes")
    return digest, size


def _may_be_missing(descriptor: dict[str, Any]) -> bool:
    """Return whether a layer need not be pushed: it is not distributable, or available elsewhere."""
    media_type = descriptor.get("mediaType")
    is_foreign = isinstance(media_type, str) and (
        ".nondistributable." in media_type or ".foreign." in media_type
    )
    urls = descriptor.get("urls")
    return is_foreign or (isinstance(urls, list) and bool(urls))


def _artifact_type(document: dict[str, Any], config: dict[str, Any] | None) -> str:
    declared_type = document.get("artifactType")
    if isinstance(declared_type, str) and declared_type:
        return declared_type
    config_type = config.get("mediaType") if config else None
    return config_type if isinstance(config_type, str) else ""


def _annotations(document: dict[str, Any]) -> dict[str, str]:
    annotations = document.get("annotations")
    if not isinstance(annotations, dict):
        return {}
    return {key: value for key, value in annotations.items() if isinstance(value, str)}
