"""Handlers of uploads: in one request, in chunks, or as a stream ("Pushing blobs"), and mounts.

Chunks of bounded size are written while the next ones are received; hashing, writing and syncing happen
in threads. Clients can ask how far an upload is at any time, also after a restart.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from pumice.registry.server import grammar, responses
from pumice.registry.server.storage.protocol import (
    DigestMismatchError,
    UnknownUploadError,
    UploadOffsetError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from pumice.registry.server.calls import Body, RegistryCall
    from pumice.registry.server.context import HandlerContext
    from pumice.registry.server.responses import ServerResponse
    from pumice.registry.server.storage.protocol import Storage

_CONTENT_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
"""The specification's form of Content-Range, which has neither a unit nor the total length."""


class _RejectedError(Exception):
    """Ends the handling of a request with an error response."""

    def __init__(self, response: ServerResponse) -> None:
        super().__init__()
        self.response = response


async def begin_upload(context: HandlerContext, call: RegistryCall) -> ServerResponse:
    """Handle POST uploads/: mount a blob, take one with the request, or open a session (end-4, end-11)."""
    storage = context.storage
    is_mount = "mount" in call.parameters
    if is_mount and await context.threads.run(_mount, context, call):
        return _blob_created(call.repository, call.parameter("mount"))
    digest = "" if is_mount else call.parameter("digest")
    if digest and not grammar.DIGEST.fullmatch(digest):
        return responses.bad_digest(digest)
    algorithm = call.parameter("digest-algorithm") or digest.partition(":")[0] or "sha256"
    if algorithm not in grammar.ALGORITHMS:
        message = f"unsupported digest algorithm {grammar.quote(algorithm)}; use sha256 or sha512"
        return responses.error(responses.DIGEST_INVALID, message)
    upload = await context.threads.run(storage.uploads.begin, call.repository, algorithm)
    if not digest:
        return _progress(202, call.repository, upload, 0)
    response = await _exclusively(context, call, upload, _finish, content_range="")
    if response.status != 201:
        await context.threads.run(storage.uploads.cancel, call.repository, upload)
    return response


async def get_upload(context: HandlerContext, call: RegistryCall) -> ServerResponse:
    """Handle GET of an upload: how many bytes were received (end-13)."""
    upload = await context.threads.run(context.storage.uploads.find, call.repository, call.reference)
    if upload is None:
        return responses.error(responses.BLOB_UPLOAD_UNKNOWN)
    return _progress(204, call.repository, call.reference, upload.offset)


async def cancel_upload(context: HandlerContext, call: RegistryCall) -> ServerResponse:
    """Handle DELETE of an upload: drop what was received (end-14)."""
    cancel = context.storage.uploads.cancel
    is_canceled = await context.threads.run(cancel, call.repository, call.reference)
    return responses.empty(204) if is_canceled else responses.error(responses.BLOB_UPLOAD_UNKNOWN)


async def append_to_upload(context: HandlerContext, call: RegistryCall) -> ServerResponse:
    """Handle PATCH of an upload: receive the next chunk, or a stream (end-5)."""
    return await _exclusively(context, call, call.reference, _append, call.header("content-range"))


async def finish_upload(context: HandlerContext, call: RegistryCall) -> ServerResponse:
    """Handle PUT of an upload: receive the last chunk, if there is one, and check the digest (end-6)."""
    return await _exclusively(context, call, call.reference, _finish, call.header("content-range"))


def _mount(context: HandlerContext, call: RegistryCall) -> bool:
    """Mount a blob from a repository that the client may read; return False if that is not possible.

    Without the parameter ``from``, any repository is searched.
    """
    digest, source = call.parameter("mount"), call.parameter("from")
    if not grammar.DIGEST.fullmatch(digest):
        return False
    is_readable = context.is_readable_by(call.user)
    if not source:
        sources = _readable_repositories(context.storage, is_readable)
        return context.storage.blobs.mount(call.repository, digest, sources)
    if not (grammar.NAME.fullmatch(source) and is_readable(source)):
        return False
    return context.storage.blobs.mount(call.repository, digest, [source])


def _readable_repositories(storage: Storage, is_readable: Callable[[str], bool]) -> Iterator[str]:
    """Yield readable repositories; they are listed only if the content exists at all."""
    for repository in storage.repositories():
        if is_readable(repository):
            yield repository


async def _exclusively(
    context: HandlerContext,
    call: RegistryCall,
    upload: str,
    handle: Callable[[HandlerContext, RegistryCall, str, str], Awaitable[ServerResponse]],
    content_range: str,
) -> ServerResponse:
    """Call ``handle`` while no other request uses the upload; turn its errors into responses."""
    try:
        async with context.upload_transfers.locks.hold(upload):
            return await handle(context, call, upload, content_range)
    except UploadOffsetError as error:
        return _progress(416, call.repository, upload, error.offset)
    except UnknownUploadError:
        return responses.error(responses.BLOB_UPLOAD_UNKNOWN)
    except _RejectedError as error:
        return error.response


async def _append(
    context: HandlerContext, call: RegistryCall, upload: str, content_range: str
) -> ServerResponse:
    offset = await _receive(context, call, upload, content_range)
    return _progress(202, call.repository, upload, offset)


async def _finish(
    context: HandlerContext, call: RegistryCall, upload: str, content_range: str
) -> ServerResponse:
    digest, body = call.parameter("digest"), call.body
    if not grammar.DIGEST.fullmatch(digest):
        return responses.bad_digest(digest)
    await _receive(context, call, upload, content_range)
    try:
        await context.threads.run(context.storage.uploads.finish, call.repository, upload, digest)
    except DigestMismatchError:
        detail = {"digest": digest}
        if body.declared_size is None and body.received:  # a broken chunk ends a body like the last one
            message = "the received content is incomplete, or has another digest"
            return responses.error(responses.BLOB_UPLOAD_INVALID, message, detail=detail)
        message = "the received content has another digest"
        return responses.error(responses.DIGEST_INVALID, message, detail=detail)
    return _blob_created(call.repository, digest)


async def _receive(context: HandlerContext, call: RegistryCall, upload: str, content_range: str) -> int:
    """Append the request body to its upload; return the new offset."""
    stored_upload = await context.threads.run(context.storage.uploads.find, call.repository, upload)
    if stored_upload is None:
        raise UnknownUploadError
    expected_size = _expected_size(call.body, content_range, stored_upload.offset)
    context.upload_transfers.active += 1
    try:
        offset = await _copy(context, call, upload, expected_size, stored_upload.offset)
    finally:
        context.upload_transfers.active -= 1
    if expected_size is not None and call.body.received != expected_size:
        message = "fewer bytes were received than declared"
        raise _RejectedError(responses.error(responses.SIZE_INVALID, message))
    return offset


async def _copy(
    context: HandlerContext, call: RegistryCall, upload: str, expected_size: int | None, offset: int
) -> int:
    """Write the request body to the storage while it is received; return the new offset."""

    def write(offset: int, chunks: list[bytes]) -> asyncio.Future[int]:
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        append = context.storage.uploads.append
        return asyncio.ensure_future(context.threads.run(append, call.repository, upload, offset, data))

    transfers, body = context.upload_transfers, call.body
    buffered: list[bytes] = []
    buffered_size = 0
    pending_write: asyncio.Future[int] | None = None
    try:
        async for chunk in body.chunks:
            body.received += len(chunk)
            if expected_size is not None and body.received > expected_size:
                message = "more bytes were received than declared"
                raise _RejectedError(responses.error(responses.SIZE_INVALID, message))
            buffered.append(chunk)
            buffered_size += len(chunk)
            if buffered_size < transfers.chunk_size:
                continue
            if pending_write is not None:
                offset = await pending_write
            pending_write = write(offset, buffered)
            buffered, buffered_size = [], 0
    except asyncio.CancelledError:  # the client has stopped sending
        offset = offset if pending_write is None else await pending_write
        pending_write = write(offset, buffered) if buffered_size else None
        raise
    finally:  # what was received is kept however the request ends, so that the client can continue
        if pending_write is not None:
            offset = await pending_write
    if buffered and buffered_size:
        offset = await write(offset, buffered)
    return offset


def _expected_size(body: Body, content_range: str, offset: int) -> int | None:
    """Return how many bytes the body must have, None if any number; raises for a range out of order."""
    if not content_range:
        return body.declared_size
    match = _CONTENT_RANGE.fullmatch(content_range.strip())
    if match is None or int(match[1]) != offset or int(match[2]) + 1 < offset:
        raise UploadOffsetError(offset)
    size = int(match[2]) + 1 - offset
    if body.declared_size is not None and body.declared_size != size:
        message = "the Content-Range does not match the Content-Length"
        raise _RejectedError(responses.error(responses.SIZE_INVALID, message))
    return size


def _blob_created(repository: str, digest: str) -> ServerResponse:
    headers = [("location", f"/v2/{repository}/blobs/{digest}"), ("docker-content-digest", digest)]
    return responses.empty(201, headers)


def _progress(status: int, repository: str, upload: str, offset: int) -> ServerResponse:
    """Return where an upload is and how far; the range is ``0-0`` for no bytes, as it is for one byte."""
    return responses.empty(
        status,
        [
            ("location", f"/v2/{repository}/blobs/uploads/{upload}"),
            ("range", f"0-{max(offset - 1, 0)}"),
            ("docker-upload-uuid", upload),
        ],
    )
