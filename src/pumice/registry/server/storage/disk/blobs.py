"""Blobs: content once per registry under its digest, and an empty file per repository that has it."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import StoreError
from pumice.files import scratch_name
from pumice.os_errors import translate_os_errors
from pumice.registry.server.storage.disk import paths as names
from pumice.registry.server.storage.disk.cache import Cache
from pumice.registry.server.storage.disk.filesystem import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pumice.registry.server.storage.disk.filesystem import Ages, Disk, Folders

SMALL = 64 << 10
"""Bytes up to which a blob's content is kept in memory."""

REFRESH = 600.0
"""Seconds after which looking at something makes its file young again: its client may count on it."""


class StoredBlob(msgspec.Struct, frozen=True):
    """A blob that is there: its file, its size in bytes, and its content if that is in memory."""

    path: str
    size: int
    content: bytes | None = None


class _Seen(msgspec.Struct, frozen=True):
    blob: StoredBlob
    fresh: float
    """Until when its file need not be made young again."""


class Blobs:
    """The blobs of all repositories; see `Storage` for what they promise."""

    def __init__(
        self, fs: Disk, root: str, folders: Folders, ages: Ages, clock: Callable[[], float], memory: int
    ) -> None:
        self._fs = fs
        self._ages = ages
        self._root = root
        self._folders = folders
        self._clock = clock
        self._cache: Cache[_Seen] = Cache(memory)
        self._guard = threading.Lock()
        self._pinned: Counter[str] = Counter()
        self._linked: set[str] | None = None

    def find(self, repository: str, digest: str) -> StoredBlob | None:
        """Return a blob that the repository has; raises StoreError if a small one is damaged."""
        seen = self._cache.get(repository, digest)
        if seen is not None and self._clock() < seen.fresh:
            return seen.blob
        epoch = self._cache.epoch
        link = self._link(repository, digest)
        path = names.blob(self._root, digest)
        try:
            linked = os.stat(link).st_mtime
            size = os.stat(path).st_size
        except OSError:
            return None
        now = self._clock()
        if linked + REFRESH < now:
            linked = now
            if not self._ages.renew(link, now):
                return None
        content = _content(path, digest) if size <= SMALL else b""
        if content is None:  # removed since it was looked at
            return None
        blob = StoredBlob(path, size, content if size <= SMALL else None)
        seen = _Seen(blob, linked + REFRESH)
        self._cache.keep(repository, digest, seen, len(blob.content or b""), epoch)
        return blob

    def admit(self, repository: str, digest: str, scratch: str, size: int) -> StoredBlob:
        """Make a durable file the blob ``digest`` of a repository, durably. It is renamed."""
        path = names.blob(self._root, digest)
        self._pin(digest)
        try:
            with translate_os_errors(digest, REGISTRY):
                self._folders.need(os.path.dirname(path))
                self._fs.rename(scratch, path)
                self._folders.sync(os.path.dirname(path))
                self._add_link(repository, digest)
        finally:
            self._unpin(digest)
        return StoredBlob(path, size)

    def mount(self, repository: str, digest: str, sources: Iterable[str]) -> bool:
        """Give a repository a blob that one of the ``sources`` has; return False if none has it."""
        names.file_of(digest)
        self._pin(digest)
        try:
            if not os.path.exists(names.blob(self._root, digest)):
                return False
            for source in sources:
                if os.path.exists(self._link(source, digest)):
                    with translate_os_errors(digest, REGISTRY):
                        self._add_link(repository, digest)
                    return True
        finally:
            self._unpin(digest)
        return False

    def delete(self, repository: str, digest: str) -> bool:
        """Take a blob from a repository, durably; return False if it does not have it."""
        link = self._link(repository, digest)
        with translate_os_errors(digest, REGISTRY):
            try:
                self._fs.unlink(link)
            except FileNotFoundError:
                return False
            finally:
                self._cache.forget(repository, digest)
            self._folders.sync(os.path.dirname(link))
        return True

    def remove_links(self, repository: str, digests: Iterable[str], since: float) -> int:
        """Take blobs from a repository, unless they are young by now, with one fsync; return how many."""
        gone = [d for d in digests if self._ages.remove_old(self._link(repository, d), since)]
        if gone:
            self._cache.forget(repository, *gone)
            self._folders.sync(names.folder(self._root, repository, names.BLOBS))
        return len(gone)

    def watch(self) -> None:
        """Note from now on what gets linked, until `unwatch`: so a collection sees what came meanwhile."""
        with self._guard:
            self._linked = set()

    def unwatch(self) -> None:
        """Stop noting."""
        with self._guard:
            self._linked = None

    def remove(self, digest: str) -> int:
        """Remove content that no repository has, unless it is being linked; return the bytes freed.

        Only between `watch` and `unwatch`, and after the links were looked for.
        """
        path = names.blob(self._root, digest)
        trash = os.path.join(self._root, "tmp", scratch_name())
        with self._guard:  # only a rename: removing a large file can take long
            if self._pinned[digest] or self._linked is None or digest in self._linked:
                return 0
            try:
                size = os.stat(path).st_size
                self._fs.rename(path, trash)
            except FileNotFoundError:
                return 0
        self._fs.unlink(trash)
        return size

    def _add_link(self, repository: str, digest: str) -> None:
        folder = names.folder(self._root, repository)
        self._folders.need(folder, *names.KINDS)
        link = self._link(repository, digest)
        while not (os.path.exists(link) and self._ages.renew(link, self._clock())):
            try:
                self._fs.create(link, 0o644).close()
            except FileExistsError:
                continue
            break
        with self._guard:
            if self._linked is not None:
                self._linked.add(digest)
        self._folders.sync(os.path.dirname(link))
        self._cache.forget(repository, digest)

    def _pin(self, digest: str) -> None:
        with self._guard:
            self._pinned[digest] += 1

    def _unpin(self, digest: str) -> None:
        with self._guard:
            self._pinned[digest] -= 1
            if not self._pinned[digest]:
                del self._pinned[digest]

    def _link(self, repository: str, digest: str) -> str:
        return os.path.join(names.folder(self._root, repository, names.BLOBS), names.file_of(digest))


def _content(path: str, digest: str) -> bytes | None:
    """Read a small blob, None if it is gone; what goes into memory, and out again often, is hashed once."""
    try:
        with translate_os_errors(digest, REGISTRY), open(path, "rb", buffering=0) as file:
            data = file.read(SMALL + 1)
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    algorithm, _, hex_digits = digest.partition(":")
    if hashlib.new(algorithm, data).hexdigest() != hex_digits:
        raise StoreError(f"the registry's copy of {digest} is damaged", hint="push it again")
    return data
