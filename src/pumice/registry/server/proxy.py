"""A pull-through cache of another registry (``pumice serve --proxy``).

Content with a digest is fetched once. Tags and lists are requested again when they are no longer fresh;
while the upstream registry cannot be reached, cached ones are served with a Warning header.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from pumice import terminal
from pumice.errors import FetchError, PumiceError
from pumice.registry.server import manifests, read_handlers, responses, upstream
from pumice.registry.server.locks import Locks
from pumice.registry.server.responses import ServerResponse, Stream
from pumice.registry.server.storage.protocol import Referrer, StoredManifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.registry.raw_manifest import RawManifest
    from pumice.registry.server.calls import RegistryCall
    from pumice.registry.server.fetches import Fetches
    from pumice.registry.server.storage.protocol import Storage
    from pumice.registry.server.threads import Threads
    from pumice.registry.server.upstream import Upstream

_RETRY_SECONDS = 10.0
"""Maximum time before the next request to a registry that could not be reached."""

_MAX_TAGS = 10_000
_MAX_TAG_LISTS = 100
_STALE_WARNING = ("warning", '299 - "the upstream registry cannot be reached; this is a cached copy"')
_log = terminal.get_logger("pumice.registry.server")


class _Freshness(msgspec.Struct, frozen=True):
    """How long something is served without asking the upstream registry.

    ``is_stale`` means that the registry could not be reached by the last request.
    """

    until: float
    is_stale: bool


class _TagList(msgspec.Struct, frozen=True):
    """The tags of a repository, and how long they are served."""

    tags: tuple[str, ...]
    freshness: _Freshness


class Proxy:
    """Handles the endpoints that a proxy answers with content of the upstream registry."""

    def __init__(
        self,
        storage: Storage,
        upstream_registry: Upstream,
        threads: Threads,
        fetches: Fetches,
        fresh_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``fresh_seconds`` is how long tags and lists are served without asking again."""
        self._storage = storage
        self._upstream = upstream_registry
        self._run = threads.run
        self._fetches = fetches
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        self._locks = Locks()
        self._tags: dict[tuple[str, str], _Freshness] = {}
        self._tag_lists: dict[str, _TagList] = {}

    def stop(self) -> None:
        """Abort all fetches."""
        self._fetches.stop()

    async def get_blob(self, call: RegistryCall) -> ServerResponse:
        """Handle GET of a blob: from the storage, or while it is fetched."""
        response = await self._stored_blob(call)
        if response.status == 200:
            return response
        try:
            if call.is_head:
                size = await self._run(self._upstream.blob_size, call.repository, call.reference)
                if size is None:
                    return response
                return ServerResponse(200, read_handlers.blob_headers(call.reference, size))
            fetch = self._fetches.begin(call.repository, call.reference)
            await fetch.wait_for_start()
            if isinstance(fetch.error, PumiceError):
                raise fetch.error
        except PumiceError as error:
            return _error_response(error, responses.BLOB_UNKNOWN)
        if fetch.error is not None:
            raise fetch.error
        if fetch.is_finished:
            return await self._stored_blob(call)
        chunks = fetch.chunks(self._fetches.threads)
        try:
            first_chunk = await anext(chunks)
        except FetchError as error:
            return _error_response(error, responses.BLOB_UNKNOWN)
        headers = read_handlers.blob_headers(call.reference, fetch.size)
        return ServerResponse(200, headers, Stream(fetch.size, first_chunk, chunks), supports_ranges=True)

    async def get_manifest(self, call: RegistryCall) -> ServerResponse:
        """Handle GET of a manifest by tag or digest."""
        async with self._locks.hold(f"{call.repository}@{call.reference}"):
            if ":" in call.reference:
                return await self._get_manifest_by_digest(call)
            return await self._get_manifest_by_tag(call)

    async def list_tags(self, call: RegistryCall) -> ServerResponse:
        """Handle GET tags/list."""
        cached = self._tag_lists.get(call.repository)
        if cached is None or cached.freshness.until <= self._clock():
            try:
                tags = sorted(await self._run(self._upstream.list_tags, call.repository))
                cached = _TagList(tuple(tags), self._fresh())
            except PumiceError as error:
                stored_tags = await self._run(self._storage.tags.list, call.repository)
                if not stored_tags or not upstream.is_temporary(error):
                    return _error_response(error, responses.NAME_UNKNOWN)
                cached = _TagList(tuple(stored_tags), self._stale())
            if len(self._tag_lists) >= _MAX_TAG_LISTS:
                self._tag_lists.clear()
            self._tag_lists[call.repository] = cached
        response = read_handlers.tags_response(cached.tags, call)
        return _with_warning(response) if cached.freshness.is_stale else response

    async def list_referrers(self, call: RegistryCall) -> ServerResponse:
        """Handle GET referrers; the list is requested each time."""
        try:
            descriptors = await self._run(self._upstream.list_referrers, call.repository, call.reference)
        except PumiceError as error:
            if not upstream.is_temporary(error):
                return _error_response(error, responses.NAME_UNKNOWN)
            descriptors = await self._run(self._storage.referrers.list, call.repository, call.reference)
            return _with_warning(read_handlers.referrers_response(descriptors, call))
        return read_handlers.referrers_response(descriptors, call)

    async def _stored_blob(self, call: RegistryCall) -> ServerResponse:
        find = self._storage.blobs.find
        if self._storage.has_slow_lookups:
            blob = await self._run(find, call.repository, call.reference)
        else:
            blob = find(call.repository, call.reference)
        return read_handlers.blob_response(blob, call.reference)

    async def _stored_manifest(self, call: RegistryCall) -> StoredManifest | None:
        find = self._storage.manifests.find
        if self._storage.has_slow_lookups:
            return await self._run(find, call.repository, call.reference)
        return find(call.repository, call.reference)

    async def _get_manifest_by_digest(self, call: RegistryCall) -> ServerResponse:
        manifest = await self._stored_manifest(call)
        if manifest is None:
            try:
                document = await self._run(self._upstream.fetch_manifest, call.repository, call.reference)
                await self._run(self._store, call.repository, document, ())
            except PumiceError as error:
                return _error_response(error, responses.MANIFEST_UNKNOWN)
            manifest = await self._stored_manifest(call)
        return read_handlers.manifest_response(manifest, call.reference)

    async def _get_manifest_by_tag(self, call: RegistryCall) -> ServerResponse:
        key = (call.repository, call.reference)
        stored_manifest = await self._stored_manifest(call)
        freshness = self._tags.get(key)
        if stored_manifest is None or freshness is None or freshness.until <= self._clock():
            try:
                fresh = self._fresh()
                if not await self._run(
                    self._update_tag, *key, None if stored_manifest is None else stored_manifest.digest
                ):
                    return responses.error(responses.MANIFEST_UNKNOWN, detail={"reference": call.reference})
                freshness = fresh
            except PumiceError as error:
                if stored_manifest is None or not upstream.is_temporary(error):
                    return _error_response(error, responses.MANIFEST_UNKNOWN)
                freshness = self._stale()
            if len(self._tags) >= _MAX_TAGS:
                self._tags.clear()
            self._tags[key] = freshness
            stored_manifest = await self._stored_manifest(call)
        response = read_handlers.manifest_response(stored_manifest, call.reference)
        return _with_warning(response) if freshness.is_stale else response

    def _fresh(self) -> _Freshness:
        return _Freshness(self._clock() + self._fresh_seconds, is_stale=False)

    def _stale(self) -> _Freshness:
        return _Freshness(self._clock() + min(self._fresh_seconds, _RETRY_SECONDS), is_stale=True)

    def _update_tag(self, repository: str, tag: str, stored_digest: str | None) -> bool:
        """Point a tag to the manifest that it has upstream; return False if it is gone there."""
        descriptor = self._upstream.resolve_tag(repository, tag)
        if descriptor is None:
            self._storage.tags.delete(repository, tag)
            return False
        if descriptor.digest != stored_digest:
            document = self._upstream.fetch_manifest(repository, descriptor.digest)
            self._store(repository, document, (tag,))
        return True

    def _store(self, repository: str, document: RawManifest, tags: Sequence[str]) -> None:
        """Store a manifest; raises FormatError for one that a client could not push either."""
        fields = manifests.parse(document.data, document.media_type)
        referrer = None
        if fields.subject:
            descriptor = manifests.referrer_descriptor(fields, document.digest, len(document.data))
            referrer = Referrer(fields.subject, descriptor)
        manifest = StoredManifest(document.digest, fields.media_type, document.data)
        self._storage.manifests.put(repository, manifest, tags, referrer)


def _with_warning(response: ServerResponse) -> ServerResponse:
    return msgspec.structs.replace(response, headers=[*response.headers, _STALE_WARNING])


def _error_response(error: PumiceError, not_found: responses.Code) -> ServerResponse:
    response = upstream.error_response(error, not_found)
    if response.status != 404:
        _log.warning("the upstream registry: %s: %s", error.where or "", error.message)
    return response
