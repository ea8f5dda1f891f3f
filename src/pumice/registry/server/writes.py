"""Writing what is no stream: manifests, tags, mounts and deletes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError
from pumice.registry.server import calls, manifests, reads, responses
from pumice.registry.server.responses import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pumice.registry.server.calls import Call
    from pumice.registry.server.manifests import Manifest, Piece
    from pumice.registry.server.reads import Source
    from pumice.registry.server.storage.disk.storage import Storage

MAX_TAGS = 100
"""Tags that one request may set; the specification asks for ten."""

_FINDINGS = 100
"""Missing blobs that are named in one answer."""


class Offer(msgspec.Struct, frozen=True):
    """A manifest that somebody wants to put here, checked and complete, before it is taken.

    Whoever may refuse it is a function from an offer to the reason, one sentence, or None.
    """

    repository: str
    digest: str
    tags: tuple[str, ...]
    media_type: str
    body: bytes
    source: Source
    """What is here already: signatures must be, before a tag."""


class Conditions(msgspec.Struct, frozen=True):
    """The If-Match and If-None-Match headers of a PUT, "" where there is none (RFC 9110, 13)."""

    match: str = ""
    none_match: str = ""


def put_manifest(
    storage: Storage,
    call: Call,
    parameters: Mapping[str, list[str]],
    content_type: str,
    body: bytes,
    *,
    conditions: Conditions,
    accept: Callable[[Offer], str | None] | None = None,
    sparse: bool = False,
) -> Answer:
    """PUT manifests (Pushing Manifests, and with tags on main). Durable when it returns 201."""
    named = _names(call, parameters, body)
    if isinstance(named, Answer):
        return named
    digest, tags = named
    try:
        manifest = manifests.read(body, content_type)
    except FormatError as error:
        return responses.error(responses.MANIFEST_INVALID, error.message)
    if accept is not None:
        offer = Offer(call.repository, digest, tags, manifest.media_type, body, storage)
        if (reason := accept(offer)) is not None:
            return responses.error(responses.DENIED, reason)
    listed = manifests.referrer(manifest, digest, len(body)) if manifest.subject else None
    with storage.manifests.lock(call.repository):  # so that nothing comes between a look and the put
        refusal = None if sparse else _incomplete(storage, call.repository, manifest)
        if refusal is None:
            refusal = _changed(storage, call, conditions)
        if refusal is not None:
            return refusal
        kind, subject = manifest.media_type, manifest.subject
        storage.put_manifest(call.repository, digest, kind, body, tags, subject, listed)
    headers = [
        ("location", f"/v2/{call.repository}/manifests/{digest}"),
        ("docker-content-digest", digest),
        ("etag", f'"{digest}"'),
    ]
    if manifest.subject:
        headers.append(("oci-subject", manifest.subject))
    if "tag" in parameters:
        headers.extend(("oci-tag", tag) for tag in tags)
    return responses.empty(201, headers)


def _names(
    call: Call, parameters: Mapping[str, list[str]], body: bytes
) -> tuple[str, tuple[str, ...]] | Answer:
    """Return the digest and tags under which a manifest goes, or why it cannot."""
    asked = parameters.get("tag", [])
    if ":" not in call.reference:
        if asked:
            return responses.error(
                responses.MANIFEST_INVALID, "tag parameters go with a digest, and the URL has a tag"
            )
        return "sha256:" + hashlib.sha256(body).hexdigest(), (call.reference,)
    algorithm = call.reference.partition(":")[0]
    if f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}" != call.reference:
        return responses.error(
            responses.DIGEST_INVALID,
            "the digest does not fit the manifest that was sent",
            detail={"digest": call.reference},
        )
    if len(asked) > MAX_TAGS:
        return responses.error(responses.TOO_MANY_TAGS, f"at most {MAX_TAGS} tags go into one request")
    for tag in asked:
        if not calls.TAG.fullmatch(tag):
            return responses.error(responses.MANIFEST_INVALID, f"{calls.shown(tag)} cannot be a tag")
    return call.reference, tuple(dict.fromkeys(asked))


def _incomplete(storage: Storage, repository: str, manifest: Manifest) -> Answer | None:
    """Return the error for what the manifest needs and the repository does not have, or has otherwise."""
    missing: list[tuple[str, object]] = []
    for piece in dict.fromkeys(manifest.pieces):
        size = _size(storage, repository, piece)
        if size is None:
            what = "manifest" if piece.document else "blob"
            message = f"the manifest refers to a {what} that this repository does not have"
            missing.append((message, {"digest": piece.digest}))
        elif size != piece.size:
            message = f"the manifest says that {piece.digest} has {piece.size} bytes, but it has {size}"
            return responses.error(responses.SIZE_INVALID, message, detail={"digest": piece.digest})
        if len(missing) == _FINDINGS:
            break
    return responses.errors(responses.MANIFEST_BLOB_UNKNOWN, missing) if missing else None


def _size(storage: Storage, repository: str, piece: Piece) -> int | None:
    if piece.document and (document := storage.manifest(repository, piece.digest)) is not None:
        return len(document.body)
    blob = storage.blob(repository, piece.digest)
    return None if blob is None else blob.size


def _changed(storage: Storage, call: Call, conditions: Conditions) -> Answer | None:
    """Return 412 if the tag is not what the client last saw: so updates of one tag cannot get lost."""
    if not (conditions.match or conditions.none_match):
        return None
    now = reads.manifest(storage, call)
    there = now.status == 200
    if conditions.match and not (there and reads.matches(now, conditions.match)):
        return responses.error(responses.CHANGED)
    if conditions.none_match and there and reads.matches(now, conditions.none_match):
        return responses.error(responses.CHANGED)
    return None


def delete_manifest(storage: Storage, call: Call) -> Answer:
    """DELETE manifests: a tag alone, or a manifest with all its tags (Deleting tags, manifests)."""
    if ":" in call.reference:
        gone = storage.delete_manifest(call.repository, call.reference)
    else:
        gone = storage.delete_tag(call.repository, call.reference)
    if gone:
        return responses.empty(202)
    return responses.error(responses.MANIFEST_UNKNOWN, detail={"reference": call.reference})


def delete_blob(storage: Storage, call: Call) -> Answer:
    """DELETE blobs: this repository has it no more (Deleting Blobs)."""
    if storage.delete_blob(call.repository, call.reference):
        return responses.empty(202)
    return responses.error(responses.BLOB_UNKNOWN, detail={"digest": call.reference})


def mount(
    storage: Storage, call: Call, digest: str, source: str | None, readable: Callable[[str], bool]
) -> Answer | None:
    """POST uploads/?mount=: take a blob from a repository that the client may read; None if there is none.

    ``source`` None is any (Mounting a blob from another repository).
    """
    if not calls.DIGEST.fullmatch(digest):
        return None
    if source is not None and not (calls.NAME.fullmatch(source) and readable(source)):
        return None
    if storage.mount(call.repository, digest, source, readable):
        return created_blob(call.repository, digest)
    return None


def created_blob(repository: str, digest: str) -> Answer:
    """Return 201 for a blob that is here now."""
    return responses.empty(
        201, [("location", f"/v2/{repository}/blobs/{digest}"), ("docker-content-digest", digest)]
    )
