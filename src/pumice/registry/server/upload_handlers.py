"""Uploading blobs: at once, in pieces, and on after a break (Pushing blobs).

Bytes go to the storage in pieces of bounded size while the next ones are received; hashing, writing and
syncing happen in threads. How far an upload is can always be asked, also after a restart.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from pumice.registry.server import calls, responses, writes
from pumice.registry.server.locks import Locks
from pumice.registry.server.responses import Answer
from pumice.registry.server.storage.disk.uploads import DigestMismatch, OutOfOrder, UnknownUpload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from pumice.registry.server.calls import Call
    from pumice.registry.server.storage.disk.storage import Storage
    from pumice.registry.server.threads import Threads

_PIECE = 1 << 20
_LEAST = 64 << 10
_ALL_PIECES = 32 << 20
"""Bytes that wait in memory: at most a piece for an upload, and at most so many for all of them."""

_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
"""The specification's own form of Content-Range, and no other: neither a unit nor the whole length."""


class Body:
    """What a request carries; ``declared`` is its Content-Length, None if it has none."""

    def __init__(self, chunks: AsyncIterator[bytes], declared: int | None) -> None:
        self.chunks = chunks
        self.declared = declared
        self.received = 0


class _Wrong(Exception):  # noqa: N818 - it carries an answer, it is no failure of ours
    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class Pushing:
    """The uploads that are going on in one storage."""

    def __init__(self, storage: Storage, threads: Threads) -> None:
        self._storage = storage
        self._run = threads.run
        self._locks = Locks()
        self._active = 0

    async def begin(
        self, call: Call, parameters: Mapping[str, list[str]], body: Body, readable: Callable[[str], bool]
    ) -> Answer:
        """POST uploads/: open a session, or take a blob that is here or comes along (4a to 4c, 11)."""
        if "mount" in parameters:
            source = calls.one(parameters, "from") or None
            digest = calls.one(parameters, "mount")
            made = await self._run(writes.mount, self._storage, call, digest, source, readable)
            if made is not None:
                return made
        digest = "" if "mount" in parameters else calls.one(parameters, "digest")
        if digest and not calls.DIGEST.fullmatch(digest):
            return _bad_digest(digest)
        algorithm = calls.one(parameters, "digest-algorithm") or digest.partition(":")[0] or "sha256"
        if algorithm not in calls.ALGORITHMS:
            message = f"{calls.shown(algorithm)} is no algorithm that is supported; use sha256 or sha512"
            return responses.error(responses.DIGEST_INVALID, message)
        upload = await self._run(self._storage.begin, call.repository, algorithm)
        if not digest:
            return _progress(202, call.repository, upload, 0)
        single = calls.Call("finish", call.repository, upload, writes=True)
        answer = await self._alone(single, self._finish, parameters, body, "")
        if answer.status != 201:
            await self._run(self._storage.cancel, call.repository, upload)
        return answer

    async def status(self, call: Call) -> Answer:
        """GET an upload: how far it is (13)."""
        offset = await self._run(self._storage.offset, call.repository, call.reference)
        if offset is None:
            return responses.error(responses.BLOB_UPLOAD_UNKNOWN)
        return _progress(204, call.repository, call.reference, offset)

    async def cancel(self, call: Call) -> Answer:
        """DELETE an upload: forget what was received (14, main)."""
        gone = await self._run(self._storage.cancel, call.repository, call.reference)
        return responses.empty(204) if gone else responses.error(responses.BLOB_UPLOAD_UNKNOWN)

    async def append(self, call: Call, body: Body, content_range: str) -> Answer:
        """PATCH an upload: take the next piece, or a stream (5)."""
        return await self._alone(call, self._append, body, content_range)

    async def finish(
        self, call: Call, parameters: Mapping[str, list[str]], body: Body, content_range: str
    ) -> Answer:
        """PUT an upload: take the last piece, if there is one, and check the digest (6)."""
        return await self._alone(call, self._finish, parameters, body, content_range)

    async def _alone(self, call: Call, act: Callable[..., Awaitable[Answer]], *rest: object) -> Answer:
        """Do something with an upload while nobody else does."""
        try:
            async with self._locks.holding(call.reference):
                return await act(call, *rest)
        except OutOfOrder as error:
            return _progress(416, call.repository, call.reference, error.offset)
        except UnknownUpload:
            return responses.error(responses.BLOB_UPLOAD_UNKNOWN)
        except _Wrong as wrong:
            return wrong.answer

    async def _append(self, call: Call, body: Body, content_range: str) -> Answer:
        offset = await self._receive(call, body, content_range)
        return _progress(202, call.repository, call.reference, offset)

    async def _finish(
        self, call: Call, parameters: Mapping[str, list[str]], body: Body, content_range: str
    ) -> Answer:
        digest = calls.one(parameters, "digest")
        if not calls.DIGEST.fullmatch(digest):
            return _bad_digest(digest)
        await self._receive(call, body, content_range)
        try:
            await self._run(self._storage.finish, call.repository, call.reference, digest)
        except DigestMismatch:
            if body.declared is None and body.received:  # a broken chunk ends a body like the last one
                message = "what was received did not come whole, or has another digest"
                return responses.error(responses.BLOB_UPLOAD_INVALID, message, detail={"digest": digest})
            message = "what was received has another digest"
            return responses.error(responses.DIGEST_INVALID, message, detail={"digest": digest})
        return writes.created_blob(call.repository, digest)

    async def _receive(self, call: Call, body: Body, content_range: str) -> int:
        """Append a body to its upload; return how far that is now."""
        offset = await self._run(self._storage.offset, call.repository, call.reference)
        if offset is None:
            raise _Wrong(responses.error(responses.BLOB_UPLOAD_UNKNOWN))
        expected = _expected(body, content_range, offset)
        self._active += 1
        try:
            offset = await self._copy(call, body, expected, offset)
        finally:
            self._active -= 1
        if expected is not None and body.received != expected:
            raise _Wrong(responses.error(responses.SIZE_INVALID, "less was received than was declared"))
        return offset

    async def _copy(self, call: Call, body: Body, expected: int | None, offset: int) -> int:
        waiting: list[bytes] = []
        held = 0
        writing: asyncio.Future[int] | None = None
        try:
            async for chunk in body.chunks:
                body.received += len(chunk)
                if expected is not None and body.received > expected:
                    raise _Wrong(
                        responses.error(responses.SIZE_INVALID, "more was received than was declared")
                    )
                waiting.append(chunk)
                held += len(chunk)
                if held < max(_LEAST, min(_PIECE, _ALL_PIECES // self._active)):
                    continue
                if writing is not None:
                    offset = await writing
                writing = self._write(call, offset, waiting)
                waiting, held = [], 0
        except asyncio.CancelledError:  # it stopped coming
            offset = offset if writing is None else await writing
            writing = self._write(call, offset, waiting) if held else None
            raise
        finally:  # what was received stays, whatever ends the request: an upload can go on from there
            if writing is not None:
                offset = await writing
        if waiting and held:
            offset = await self._write(call, offset, waiting)
        return offset

    def _write(self, call: Call, offset: int, waiting: list[bytes]) -> asyncio.Future[int]:
        data = waiting[0] if len(waiting) == 1 else b"".join(waiting)
        return asyncio.ensure_future(
            self._run(self._storage.append, call.repository, call.reference, offset, data)
        )


def _expected(body: Body, content_range: str, offset: int) -> int | None:
    """Return how many bytes must come; raises for a range that is not the next one."""
    if not content_range:
        return body.declared
    match = _RANGE.fullmatch(content_range.strip())
    if match is None or int(match[1]) != offset or int(match[2]) + 1 < offset:
        raise OutOfOrder(offset)
    length = int(match[2]) + 1 - offset
    if body.declared is not None and body.declared != length:
        raise _Wrong(
            responses.error(responses.SIZE_INVALID, "the Content-Range does not fit the Content-Length")
        )
    return length


def _bad_digest(digest: str) -> Answer:
    return responses.error(responses.DIGEST_INVALID, f"{calls.shown(digest)} is no sha256 or sha512 digest")


def _progress(status: int, repository: str, upload: str, offset: int) -> Answer:
    """Return where an upload is and how far; of no bytes, as of one, the range says ``0-0``."""
    return responses.empty(
        status,
        [
            ("location", f"/v2/{repository}/blobs/uploads/{upload}"),
            ("range", f"0-{max(offset - 1, 0)}"),
            ("docker-upload-uuid", upload),
        ],
    )
