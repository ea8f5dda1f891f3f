"""The cache of manifests, by repository and by tag or digest."""

from __future__ import annotations

import msgspec

from pumice.registry.server.storage.disk.memory_cache import MemoryCache
from pumice.registry.server.storage.protocol import StoredManifest


class CachedManifest(msgspec.Struct, frozen=True):
    """A manifest, and the time at which the lease of its file has to be renewed."""

    manifest: StoredManifest
    lease_renewal: float


ManifestCache = MemoryCache[CachedManifest]
