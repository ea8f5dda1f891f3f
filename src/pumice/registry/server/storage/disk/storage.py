"""Registry storage in plain files below one directory.

``docs/reference/registry-layout.md`` specifies the files and what is guaranteed about them.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from pumice import files, ownership
from pumice.errors import FormatError, StoreError, UsageError
from pumice.os_errors import translate_os_errors
from pumice.registry.server.storage.disk import paths
from pumice.registry.server.storage.disk.blobs import DiskBlobs
from pumice.registry.server.storage.disk.contents import DiskContents
from pumice.registry.server.storage.disk.documents import DocumentWriter
from pumice.registry.server.storage.disk.filesystem import (
    OS,
    REGISTRY,
    DurableDirectories,
    LeaseTimes,
)
from pumice.registry.server.storage.disk.leases import DiskLeases
from pumice.registry.server.storage.disk.locks import RepositoryLocks
from pumice.registry.server.storage.disk.manifest_cache import ManifestCache
from pumice.registry.server.storage.disk.manifests import DiskManifests
from pumice.registry.server.storage.disk.referrers import DiskReferrers
from pumice.registry.server.storage.disk.tags import DiskTags
from pumice.registry.server.storage.disk.uploads import DiskUploads

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from pumice.registry.server.storage.disk.filesystem import Disk
    from pumice.registry.server.storage.protocol import (
        Blobs,
        Contents,
        Leases,
        Manifests,
        Referrers,
        Tags,
        Uploads,
    )

CACHE_SIZE = 32 << 20
"""Bytes of manifests, and of small blobs, that are cached in memory."""


def open_directory(location: str, *, create: bool) -> DiskStorage:
    """Open a registry's directory; the backend of `storage.backends`.

    Raises StoreError as `open_storage` does, and UsageError if there is no registry and ``create`` is
    not set.
    """
    if not (create or os.path.isfile(os.path.join(location, "layout"))):
        raise UsageError("not a registry directory", where=location, hint="name the directory with --root")
    return open_storage(location)


def open_storage(
    root: str | os.PathLike[str],
    fs: Disk = OS,
    *,
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
    cache_size: int = CACHE_SIZE,
) -> DiskStorage:
    """Open a registry's directory for one process; an empty or missing one becomes a registry.

    ``clock`` returns seconds since the epoch, ``random`` unpredictable bytes. Raises StoreError if
    another process uses the directory, or if it contains something else.
    """
    directory = os.path.abspath(root)
    with translate_os_errors(directory, REGISTRY):
        ownership.make_directories(os.path.dirname(directory))
        if not os.path.isdir(directory):
            fs.make_directory(directory, ownership.PRIVATE_MODE)  # repositories may be private
    _claim(directory, fs)
    lock = files.FileLock(os.path.join(directory, "lock"))
    lock.acquire(waiting=lambda: _raise_in_use(directory))
    try:
        with translate_os_errors(directory, REGISTRY):
            _prepare(directory, fs)
        return DiskStorage(directory, fs, lock, clock=clock, random=random, cache_size=cache_size)
    except BaseException:
        lock.release()
        raise


class DiskStorage:
    """Implements `protocol.Storage`."""

    def __init__(
        self,
        root: str,
        fs: Disk,
        lock: files.FileLock,
        *,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        cache_size: int,
    ) -> None:
        """Call `open_storage` instead, which claims and prepares the directory."""
        self.root = root
        self._lock = lock
        self._locks = RepositoryLocks()
        directories = DurableDirectories(fs, root)
        lease_times = LeaseTimes(fs)
        writer = DocumentWriter(fs, root)
        cache: ManifestCache = ManifestCache(cache_size)
        contents = DiskContents(fs, root, directories)
        blobs = DiskBlobs(fs, root, directories, lease_times, contents, clock, cache_size)
        tags = DiskTags(root, writer, directories, self._locks, cache)
        referrers = DiskReferrers(root, writer, directories)
        manifests = DiskManifests(
            root, writer, directories, lease_times, self._locks, tags, referrers, cache, clock
        )
        self._uploads = DiskUploads(fs, root, directories, blobs, random)
        self.blobs: Blobs = blobs
        self.contents: Contents = contents
        self.manifests: Manifests = manifests
        self.tags: Tags = tags
        self.referrers: Referrers = referrers
        self.uploads: Uploads = self._uploads
        self.has_slow_lookups = False
        self.leases: Leases = DiskLeases(
            blobs, manifests, self._uploads, lambda: sorted(self._walk(paths.UPLOADS))
        )

    def repositories(self) -> Sequence[str]:
        """Return the names of all repositories that have, or had, content; sorted."""
        return sorted(self._walk(paths.TAGS))

    def lock(self, repository: str) -> threading.RLock:
        """Return the reentrant lock under which manifests and tags of the repository change."""
        return self._locks.lock(repository)

    def close(self) -> None:
        """Release the directory; unfinished uploads continue when it is opened again."""
        self._uploads.close()
        self._lock.release()

    def __enter__(self) -> DiskStorage:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _walk(self, subdirectory: str, parent: str = "") -> Iterator[str]:
        """Yield the names of repositories that have ``subdirectory``."""
        try:
            names = sorted(os.listdir(os.path.join(self.root, "repositories", parent)))
        except OSError:
            return
        if parent and subdirectory in names:
            yield parent
        for name in names:
            repository = f"{parent}/{name}" if parent else name
            if not name.startswith("_") and _is_repository(repository):
                yield from self._walk(subdirectory, repository)


def _is_repository(text: str) -> bool:
    try:
        paths.check_repository(text)
    except FormatError:
        return False
    return True


def _raise_in_use(directory: str) -> None:
    raise StoreError(
        "the directory is in use by another 'pumice serve'",
        where=directory,
        hint="stop that server, or choose another --root",
    )


def _claim(directory: str, fs: Disk) -> None:
    """Check that a directory is a registry, or mark it as one; raises StoreError."""
    marker = os.path.join(directory, "layout")
    with translate_os_errors(directory, REGISTRY):
        try:
            with open(marker, "rb", buffering=0) as file:
                layout = file.read(len(paths.LAYOUT) + 1)
        except FileNotFoundError:
            foreign = [name for name in os.listdir(directory) if not name.startswith((".", "lost+found"))]
            if foreign and os.path.exists(marker):  # another process has just claimed it
                _claim(directory, fs)
                return
            if foreign:
                raise StoreError(
                    "the directory is not empty and not a registry",
                    where=directory,
                    hint="choose another --root",
                ) from None
        else:
            if layout == paths.LAYOUT:
                return
            raise StoreError("the directory is a registry of an unknown layout version", where=directory)
        scratch = os.path.join(directory, f".layout.{files.scratch_name()}")
        files.install(scratch, marker, paths.LAYOUT, fs=fs, mode=0o644)
        fs.sync_directory(directory)
        fs.sync_directory(os.path.dirname(directory))


def _prepare(root: str, fs: Disk) -> None:
    """Create the directories of every registry, and remove temporary files of an earlier process."""
    directories = DurableDirectories(fs, root)
    directories.ensure(os.path.join(root, "blobs"))
    directories.ensure(os.path.join(root, "repositories"))
    scratch = os.path.join(root, "tmp")
    directories.ensure(scratch)
    for name in os.listdir(scratch):
        fs.unlink(os.path.join(scratch, name))
