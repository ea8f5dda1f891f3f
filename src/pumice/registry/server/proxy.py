"""Another registry's images: asked for when somebody wants them, and kept (``pumice serve --proxy``).

What has a digest is asked for once. Tags and lists are asked for again after a while; while the other
registry cannot be reached, what is kept of them is answered, with a Warning.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from pumice import terminal
from pumice.errors import FetchError, PumiceError
from pumice.registry.server import manifests, reads, responses, upstream
from pumice.registry.server.locks import Locks
from pumice.registry.server.responses import Answer, Flow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pumice.registry.raw_manifest import RawManifest
    from pumice.registry.server.calls import Call
    from pumice.registry.server.fetches import Fetches
    from pumice.registry.server.storage.disk.storage import Storage
    from pumice.registry.server.threads import Threads
    from pumice.registry.server.upstream import Upstream

_PATIENCE = 10.0
"""Seconds until a registry that could not be reached is asked again, at most."""

_REMEMBERED = 10_000
_LISTS = 100
_STALE = ("warning", '299 - "the upstream registry cannot be reached: this is what was kept of it"')
_log = terminal.get_logger("pumice.registry.server")


class _Believed(msgspec.Struct, frozen=True):
    """Until when something is answered without asking, and whether it is what was kept of old."""

    until: float
    stale: bool
    listed: tuple[str, ...] = ()


class _Lists:
    """What `reads` makes pages of, when it does not come from the storage."""

    def __init__(self, tags: Sequence[str] = (), referrers: Sequence[bytes] = ()) -> None:
        self._tags = tags
        self._referrers = referrers

    def tags(self, repository: str) -> Sequence[str]:  # noqa: ARG002 - there is only this one
        return self._tags

    def referrers(self, repository: str, subject: str) -> Sequence[bytes]:  # noqa: ARG002 - as above
        return self._referrers


class Proxy:
    """Answers what is asked of another registry."""

    def __init__(
        self,
        storage: Storage,
        behind: Upstream,
        threads: Threads,
        fetches: Fetches,
        fresh: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``fresh`` is for how many seconds tags and lists are believed."""
        self._storage = storage
        self._behind = behind
        self._run = threads.run
        self._fetches = fetches
        self._fresh = fresh
        self._clock = clock
        self._locks = Locks()
        self._tags: dict[tuple[str, str], _Believed] = {}
        self._lists: dict[str, _Believed] = {}

    def stop(self) -> None:
        """Let nothing go on."""
        self._fetches.stop()

    async def read(self, call: Call, parameters: Mapping[str, list[str]], *, head: bool) -> Answer:
        """Answer a call that reads a manifest, a blob, tags or referrers."""
        if call.action == "blob":
            return await self._blob(call, head=head)
        if call.action == "tags":
            return await self._list_tags(call, parameters)
        if call.action == "referrers":
            return await self._list_referrers(call, parameters)
        async with self._locks.holding(f"{call.repository}@{call.reference}"):
            return await (self._digest(call) if ":" in call.reference else self._tag(call))

    async def _blob(self, call: Call, *, head: bool) -> Answer:
        answer = reads.blob(self._storage, call)
        if answer.status == 200:
            return answer
        try:
            if head:
                size = await self._run(self._behind.size, call.repository, call.reference)
                return answer if size is None else Answer(200, reads.blob_headers(call.reference, size))
            fetch = self._fetches.begin(call.repository, call.reference)
            await fetch.begun()
            if isinstance(fetch.problem, PumiceError):
                raise fetch.problem
        except PumiceError as problem:
            return _refused(problem, responses.BLOB_UNKNOWN)
        if fetch.problem is not None:
            raise fetch.problem
        if fetch.ended:
            return reads.blob(self._storage, call)
        chunks = fetch.pieces(self._fetches.threads)
        try:
            first = await anext(chunks)
        except FetchError as problem:
            return _refused(problem, responses.BLOB_UNKNOWN)
        return Answer(200, reads.blob_headers(call.reference, fetch.size), Flow(fetch.size, first, chunks))

    async def _digest(self, call: Call) -> Answer:
        answer = reads.manifest(self._storage, call)
        if answer.status == 200:
            return answer
        try:
            document = await self._run(self._behind.manifest, call.repository, call.reference)
            await self._run(self._keep, call.repository, document, ())
        except PumiceError as problem:
            return _refused(problem, responses.MANIFEST_UNKNOWN)
        return reads.manifest(self._storage, call)

    async def _tag(self, call: Call) -> Answer:
        key = (call.repository, call.reference)
        kept = self._storage.manifest(*key)
        believed = self._tags.get(key)
        now = self._clock()
        if kept is None or believed is None or believed.until <= now:
            try:
                if not await self._run(self._look, *key, None if kept is None else kept.digest):
                    return responses.error(responses.MANIFEST_UNKNOWN, detail={"reference": call.reference})
                believed = _Believed(now + self._fresh, stale=False)
            except PumiceError as problem:
                if kept is None or not upstream.is_passing(problem):
                    return _refused(problem, responses.MANIFEST_UNKNOWN)
                believed = _Believed(self._clock() + min(self._fresh, _PATIENCE), stale=True)
            if len(self._tags) >= _REMEMBERED:
                self._tags.clear()
            self._tags[key] = believed
        return _marked(reads.manifest(self._storage, call), believed)

    def _look(self, repository: str, tag: str, known: str | None) -> bool:
        """Make a tag what it is upstream, ``known`` is what it is here; return False if it is gone."""
        found = self._behind.find(repository, tag)
        if found is None:
            self._storage.delete_tag(repository, tag)
            return False
        if found.digest != known:
            self._keep(repository, self._behind.manifest(repository, found.digest), (tag,))
        return True

    def _keep(self, repository: str, document: RawManifest, tags: Sequence[str]) -> None:
        """Store a manifest; raises FormatError for one that we would not take from a client either."""
        read = manifests.read(document.data, document.media_type)
        listed = None
        if read.subject:
            listed = manifests.referrer(read, document.digest, len(document.data))
        self._storage.put_manifest(
            repository, document.digest, read.media_type, document.data, tags, read.subject, listed
        )

    async def _list_tags(self, call: Call, parameters: Mapping[str, list[str]]) -> Answer:
        believed = self._lists.get(call.repository)
        if believed is None or believed.until <= self._clock():
            try:
                listed = sorted(await self._run(self._behind.tags, call.repository))
                believed = _Believed(self._clock() + self._fresh, stale=False, listed=tuple(listed))
            except PumiceError as problem:
                kept = await self._run(self._storage.tags, call.repository)
                if not kept or not upstream.is_passing(problem):
                    return _refused(problem, responses.NAME_UNKNOWN)
                until = self._clock() + min(self._fresh, _PATIENCE)
                believed = _Believed(until, stale=True, listed=tuple(kept))
            if len(self._lists) >= _LISTS:
                self._lists.clear()
            self._lists[call.repository] = believed
        return _marked(reads.tags(_Lists(tags=believed.listed), call, parameters), believed)

    async def _list_referrers(self, call: Call, parameters: Mapping[str, list[str]]) -> Answer:
        stale = False
        try:
            found = await self._run(self._behind.referrers, call.repository, call.reference)
        except PumiceError as problem:
            if not upstream.is_passing(problem):
                return _refused(problem, responses.NAME_UNKNOWN)
            found = await self._run(self._storage.referrers, call.repository, call.reference)
            stale = True
        answer = reads.referrers(_Lists(referrers=found), call, parameters)
        return _marked(answer, _Believed(0, stale))


def _marked(answer: Answer, believed: _Believed) -> Answer:
    if not believed.stale:
        return answer
    return Answer(answer.status, [*answer.headers, _STALE], answer.body)


def _refused(problem: PumiceError, unknown: responses.Code) -> Answer:
    answer = upstream.refusal(problem, unknown)
    if answer.status != 404:
        _log.warning("the upstream registry: %s: %s", problem.where or "", problem.message)
    return answer
