"""Handlers that change manifests, tags and blobs; `upload_handlers` has those for uploads."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pumice.errors import FormatError
from pumice.registry.server import grammar, manifests, read_handlers, responses
from pumice.registry.server.offer import Offer
from pumice.registry.server.responses import ServerResponse
from pumice.registry.server.storage.protocol import Referrer, StoredManifest

if TYPE_CHECKING:
    from pumice.registry.server.calls import Body, RegistryCall
    from pumice.registry.server.context import HandlerContext
    from pumice.registry.server.manifests import ReferencedContent, RequiredFields
    from pumice.registry.server.storage.protocol import Storage

MAX_TAGS = 100
"""Tags that one request may set; the specification requires at least ten."""

_MAX_FINDINGS = 100
"""Missing blobs that one response lists."""


async def put_manifest(context: HandlerContext, call: RegistryCall) -> ServerResponse:
    """Handle PUT of a manifest (end-7), with ``tag`` parameters as on the specification's main branch."""
    try:
        body = await _receive(call.body)
        if isinstance(body, ServerResponse):
            return body
        return await context.threads.run(_put_manifest, context, call, body)
    finally:
        context.response_cache.invalidate(call.repository)


async def delete_manifest(context: HandlerContext, call: RegistryCall) -> ServerResponse:
    """Handle DELETE of a manifest with all its tags, or of a tag alone (end-9)."""
    storage = context.storage
    delete = storage.manifests.delete if ":" in call.reference else storage.tags.delete
    try:
        is_deleted = await context.threads.run(delete, call.repository, call.reference)
    finally:
        context.response_cache.invalidate(call.repository)
    if is_deleted:
        return responses.empty(202)
    return responses.error(responses.MANIFEST_UNKNOWN, detail={"reference": call.reference})


async def delete_blob(context: HandlerContext, call: RegistryCall) -> ServerResponse:
    """Handle DELETE of a blob, in this repository only (end-10)."""
    try:
        is_deleted = await context.threads.run(context.storage.blobs.delete, call.repository, call.reference)
    finally:
        context.response_cache.invalidate(call.repository)
    if is_deleted:
        return responses.empty(202)
    return responses.error(responses.BLOB_UNKNOWN, detail={"digest": call.reference})


async def _receive(body: Body) -> bytes | ServerResponse:
    """Return the bytes of a manifest, or the error if there are too many, or not as many as declared."""
    if body.declared_size is not None and body.declared_size > manifests.MAX_MANIFEST:
        return responses.error(responses.TOO_LARGE)
    chunks: list[bytes] = []
    async for chunk in body.chunks:
        body.received += len(chunk)
        if body.received > manifests.MAX_MANIFEST:
            return responses.error(responses.TOO_LARGE)
        chunks.append(chunk)
    if body.declared_size is not None and body.received != body.declared_size:
        return responses.error(responses.SIZE_INVALID)
    return b"".join(chunks)


def _put_manifest(context: HandlerContext, call: RegistryCall, body: bytes) -> ServerResponse:
    """Check and store a manifest, which is durable when this returns 201."""
    storage = context.storage
    target = _digest_and_tags(call, body)
    if isinstance(target, ServerResponse):
        return target
    digest, tags = target
    try:
        fields = manifests.parse(body, call.header("content-type"))
    except FormatError as error:
        return responses.error(responses.MANIFEST_INVALID, error.message)
    if context.refuse_offer is not None:
        offer = Offer(call.repository, digest, tags, fields.media_type, body, storage)
        if (reason := context.refuse_offer(offer)) is not None:
            return responses.error(responses.DENIED, reason)
    referrer = None
    if fields.subject:
        referrer = Referrer(fields.subject, manifests.referrer_descriptor(fields, digest, len(body)))
    with storage.lock(call.repository):  # nothing changes between the checks and the put
        problem = None if context.allow_missing_blobs else _find_missing(storage, call.repository, fields)
        problem = problem or _check_conditions(storage, call)
        if problem is not None:
            return problem
        storage.manifests.put(
            call.repository, StoredManifest(digest, fields.media_type, body), tags, referrer
        )
    headers = [
        ("location", f"/v2/{call.repository}/manifests/{digest}"),
        ("docker-content-digest", digest),
        ("etag", f'"{digest}"'),
    ]
    if fields.subject:
        headers.append(("oci-subject", fields.subject))
    if "tag" in call.parameters:
        headers.extend(("oci-tag", tag) for tag in tags)
    return responses.empty(201, headers)


def _digest_and_tags(call: RegistryCall, body: bytes) -> tuple[str, tuple[str, ...]] | ServerResponse:
    """Return the digest and tags under which a manifest is stored, or the error."""
    tags = call.parameters.get("tag", [])
    if ":" not in call.reference:
        if tags:
            message = "tag parameters require a digest in the URL, but the URL has a tag"
            return responses.error(responses.MANIFEST_INVALID, message)
        return "sha256:" + hashlib.sha256(body).hexdigest(), (call.reference,)
    algorithm = call.reference.partition(":")[0]
    if f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}" != call.reference:
        return responses.error(
            responses.DIGEST_INVALID,
            "the manifest does not match the digest in the URL",
            detail={"digest": call.reference},
        )
    if len(tags) > MAX_TAGS:
        return responses.error(responses.TOO_MANY_TAGS, f"one request can set at most {MAX_TAGS} tags")
    for tag in tags:
        if not grammar.TAG.fullmatch(tag):
            message = f"{grammar.quote(tag)} is not a valid tag"
            return responses.error(responses.MANIFEST_INVALID, message)
    return call.reference, tuple(dict.fromkeys(tags))


def _find_missing(storage: Storage, repository: str, fields: RequiredFields) -> ServerResponse | None:
    """Return the error if the repository lacks content of the manifest, or has it with another size."""
    missing: list[tuple[str, object]] = []
    for reference in dict.fromkeys(fields.references):
        size = _stored_size(storage, repository, reference)
        if size is None:
            kind = "manifest" if reference.is_manifest else "blob"
            message = f"the manifest refers to a {kind} that this repository does not have"
            missing.append((message, {"digest": reference.digest}))
        elif size != reference.size:
            message = f"the manifest declares {reference.size} bytes for {reference.digest}, which has {size}"
            return responses.error(responses.SIZE_INVALID, message, detail={"digest": reference.digest})
        if len(missing) == _MAX_FINDINGS:
            break
    return responses.errors(responses.MANIFEST_BLOB_UNKNOWN, missing) if missing else None


def _stored_size(storage: Storage, repository: str, reference: ReferencedContent) -> int | None:
    if reference.is_manifest and (manifest := storage.manifests.find(repository, reference.digest)):
        return len(manifest.body)
    blob = storage.blobs.find(repository, reference.digest)
    return None if blob is None else blob.size


def _check_conditions(storage: Storage, call: RegistryCall) -> ServerResponse | None:
    """Return 412 if the tag changed since the client read it, so that no update is lost (RFC 9110, 13)."""
    if_match, if_none_match = call.header("if-match"), call.header("if-none-match")
    if not (if_match or if_none_match):
        return None
    manifest = storage.manifests.find(call.repository, call.reference)
    current = read_handlers.manifest_response(manifest, call.reference)
    exists = manifest is not None
    if if_match and not (exists and read_handlers.matches_etag(current, if_match)):
        return responses.error(responses.CONDITION_FAILED)
    if if_none_match and exists and read_handlers.matches_etag(current, if_none_match):
        return responses.error(responses.CONDITION_FAILED)
    return None
