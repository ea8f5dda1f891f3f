"""What a manifest says about other things: read when it is put, and otherwise kept byte for byte.

Any JSON object can be a manifest: unknown media types and fields are no errors. What it refers to is
looked for in the places that image-spec 1.1 and Docker's formats have for it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pumice import canonical
from pumice.errors import FormatError
from pumice.formats import oci, strictjson
from pumice.registry.server.calls import DIGEST, shown

MAX_MANIFEST = 4 << 20
_GENERIC = frozenset({"", "application/json", "application/octet-stream", "text/plain"})
_KNOWN = frozenset({oci.MANIFEST, oci.INDEX, oci.DOCKER_MANIFEST, oci.DOCKER_INDEX})


class Piece(msgspec.Struct, frozen=True):
    """Something that must be here: ``document`` if it is a manifest, and else a blob."""

    digest: str
    size: int
    document: bool


class Manifest(msgspec.Struct, frozen=True):
    """What the server has to know of a manifest."""

    media_type: str
    pieces: tuple[Piece, ...]
    subject: str | None
    artifact_type: str
    annotations: dict[str, str]


def read(body: bytes, content_type: str) -> Manifest:
    """Read what was put under ``content_type``; raises FormatError with the reason to refuse it."""
    document = strictjson.read_object(body, "manifest", limit=MAX_MANIFEST)
    media_type = _media_type(document, content_type)
    if media_type in _KNOWN and document.get("schemaVersion") != 2:
        raise FormatError("the manifest's schemaVersion is not 2")
    config = _part(document, "config")
    subject = _part(document, "subject")
    pieces = [Piece(*_named(config, "config"), document=False)] if config else []
    pieces += [
        Piece(*_named(item, key), document=False)
        for key in ("layers", "blobs")
        for item in _parts(document, key)
        if not _elsewhere(item)
    ]
    pieces += [Piece(*_named(item, "manifests"), document=True) for item in _parts(document, "manifests")]
    return Manifest(
        media_type,
        tuple(pieces),
        _named(subject, "subject")[0] if subject else None,
        _artifact_type(document, config),
        _annotations(document),
    )


def referrer(manifest: Manifest, digest: str, size: int) -> bytes:
    """Return the descriptor by which a manifest is listed under its subject (Listing Referrers)."""
    made: dict[str, Any] = {"mediaType": manifest.media_type, "digest": digest, "size": size}
    if manifest.artifact_type:
        made["artifactType"] = manifest.artifact_type
    if manifest.annotations:
        made["annotations"] = manifest.annotations
    return canonical.dumps(made)


def _media_type(document: dict[str, Any], content_type: str) -> str:
    sent = content_type.partition(";")[0].strip().lower()
    own = document.get("mediaType")
    if own is not None and (not isinstance(own, str) or not _is_media_type(own)):
        raise FormatError("the manifest's mediaType is none")
    if sent not in _GENERIC:
        if not _is_media_type(sent):
            raise FormatError("the Content-Type is no media type")
        if own is not None and own.lower() != sent:
            raise FormatError(f"the Content-Type is {shown(sent)}, but the manifest says {shown(own)}")
        return own or sent
    return own or (oci.INDEX if "manifests" in document else oci.MANIFEST)


def _is_media_type(text: str) -> bool:
    kind, slash, rest = text.partition("/")
    odd = set(text) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&-^_.+/")
    return bool(kind and slash and rest) and not odd and text.count("/") == 1 and len(text) <= 255


def _part(document: dict[str, Any], key: str) -> dict[str, Any] | None:
    value = document.get(key)
    if value is not None and not isinstance(value, dict):
        raise FormatError(f"the manifest's {key} is no object")
    return value


def _parts(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise FormatError(f"the manifest's {key} is no list of objects")
    return value


def _named(item: dict[str, Any], what: str) -> tuple[str, int]:
    digest, size = item.get("digest"), item.get("size")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise FormatError(f"a digest in the manifest's {what} is no sha256 or sha512 digest")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 1 << 63:
        raise FormatError(f"a size in the manifest's {what} is no number of bytes")
    return digest, size


def _elsewhere(item: dict[str, Any]) -> bool:
    """Say whether a layer may be missing: it is not to be distributed, or is to be had elsewhere."""
    media_type = item.get("mediaType")
    foreign = isinstance(media_type, str) and (
        ".nondistributable." in media_type or ".foreign." in media_type
    )
    urls = item.get("urls")
    return foreign or (isinstance(urls, list) and bool(urls))


def _artifact_type(document: dict[str, Any], config: dict[str, Any] | None) -> str:
    own = document.get("artifactType")
    if isinstance(own, str) and own:
        return own
    kind = config.get("mediaType") if config else None
    return kind if isinstance(kind, str) else ""


def _annotations(document: dict[str, Any]) -> dict[str, str]:
    found = document.get("annotations")
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)}
