"""How the registry changes its disk: the file system interface, durable directories, errors, lease times."""

from __future__ import annotations

import os
import threading
from typing import Protocol

from pumice import files
from pumice.errors import StoreError
from pumice.os_errors import NO_SPACE, Translation
from pumice.registry.server.storage.protocol import StorageFullError


class Disk(files.FileSystem, Protocol):
    """A file system that can also append to existing files, as unfinished uploads need."""

    def extend(self, path: str) -> files.NewFile:
        """Open an existing file to append to it; raises OSError."""


class OsDisk(files.OsFileSystem):
    """The operating system's own files."""

    def extend(self, path: str) -> files.NewFile:
        """Open an existing file to append to it."""
        flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        return files._OsFile(os.open(path, flags))


OS: Disk = OsDisk()
"""The disk to use, unless a test provides another one."""


REGISTRY = Translation(
    StoreError,
    hints=dict.fromkeys(NO_SPACE, "free some space, for example with 'pumice serve --collect'"),
    prefix="cannot access the storage of the registry: ",
    no_space=StorageFullError,
)
"""The errors that failures of the disk are translated to."""


class LeaseTimes:
    """When files were last used, kept as their mtime; renewing and removing exclude each other."""

    def __init__(self, fs: Disk) -> None:
        self._fs = fs
        self._lock = threading.Lock()

    def renew(self, path: str, now: float) -> bool:
        """Set the lease of a file to ``now``; return False if the file does not exist any more."""
        with self._lock:
            try:
                os.utime(path, (now, now))
            except FileNotFoundError:
                return False
            except OSError:  # nothing is collected either where nothing can be written
                return True
        return True

    def remove_expired(self, path: str, since: float) -> bool:
        """Remove a file unless it was used at or after ``since``; return whether it is gone.

        Raises OSError.
        """
        with self._lock:
            try:
                if os.stat(path).st_mtime >= since:
                    return False
                self._fs.unlink(path)
            except FileNotFoundError:
                pass
        return True


def is_leased(path: str, since: float) -> bool:
    """Return whether a file exists and was used at or after ``since``."""
    try:
        return os.stat(path).st_mtime >= since
    except OSError:
        return False


class DurableDirectories:
    """Directories below a root, synced before anything in them is acknowledged."""

    def __init__(self, fs: Disk, root: str) -> None:
        """``root`` exists and is durable."""
        self._fs = fs
        self._root = root
        self._durable: set[str] = {root}
        self._creating = threading.Lock()
        self._guard = threading.Lock()
        self._sync_queues: dict[str, _SyncQueue] = {}

    def ensure(self, path: str, *subdirectories: str) -> None:
        """Create a directory with some subdirectories, durably; raises OSError.

        The first call for an existing directory syncs it as well: an earlier process may have been
        killed between creating something in it and syncing it.
        """
        required = [path, *(os.path.join(path, name) for name in subdirectories)]
        if self._durable.issuperset(required):
            return
        with self._creating:
            ancestors: list[str] = []
            ancestor = path
            while ancestor not in self._durable:
                ancestors.append(ancestor)
                ancestor = os.path.dirname(ancestor)
            ancestors.reverse()
            unsynced = {ancestor} if ancestors else set()
            for directory in [*ancestors, *required[1:]]:
                if directory in self._durable:
                    continue
                unsynced.add(os.path.dirname(directory))
                if not self._create(directory):
                    unsynced.add(directory)
            for directory in sorted(unsynced, reverse=True):
                self._fs.sync_directory(directory)
            self._durable.update(ancestors, required)

    def sync(self, path: str) -> None:
        """Make the current entries of a directory durable; concurrent callers share one fsync."""
        with self._guard:
            queue = self._sync_queues.setdefault(path, _SyncQueue())
            queue.users += 1
            queue.last_ticket += 1
            ticket = queue.last_ticket
        try:
            with queue.lock:
                if queue.synced_ticket < ticket:
                    with self._guard:
                        covered_ticket = queue.last_ticket
                    self._fs.sync_directory(path)
                    queue.synced_ticket = covered_ticket
        finally:
            with self._guard:
                queue.users -= 1
                if not queue.users:
                    del self._sync_queues[path]

    def _create(self, directory: str) -> bool:
        """Create one directory; return False if it exists already."""
        try:
            self._fs.make_directory(directory)
        except FileExistsError:
            return False
        return True


class _SyncQueue:
    """The callers that wait for the fsync of one directory.

    Each caller gets the next ticket; an fsync covers all tickets given out before it starts.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = self.last_ticket = self.synced_ticket = 0
