"""How the registry changes its disk: the `FileSystem` seam, durable folders, shared fsyncs, clear errors."""

from __future__ import annotations

import os
import threading
from typing import Protocol

from pumice import files
from pumice.errors import StoreError
from pumice.os_errors import NO_SPACE, Translation


class DiskFull(StoreError):  # noqa: N818 - it names the condition that the caller answers (507)
    """There is no space, or no quota, for what was to be stored; trying again later can work."""


class Disk(files.FileSystem, Protocol):
    """A file system whose files can also be written to again: unfinished uploads need that."""

    def extend(self, path: str) -> files.NewFile:
        """Open a file that exists, to append to it; raises OSError."""


class OsDisk(files.OsFileSystem):
    """The operating system's own files."""

    def extend(self, path: str) -> files.NewFile:
        """Open a file that exists, to append to it."""
        flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        return files._OsFile(os.open(path, flags))


OS: Disk = OsDisk()
"""The disk to use unless a test brings its own."""


REGISTRY = Translation(
    StoreError,
    hints=dict.fromkeys(NO_SPACE, "free some space, for example with 'pumice serve --collect'"),
    prefix="cannot access the storage of the registry: ",
    no_space=DiskFull,
)
"""What errors of the disk mean to the registry."""


class Ages:
    """How long files were not needed, by mtime: renewing one and removing it exclude each other."""

    def __init__(self, fs: Disk) -> None:
        self._fs = fs
        self._lock = threading.Lock()

    def renew(self, path: str, now: float) -> bool:
        """Make a file young, so that no collection takes it soon; return False if it is gone."""
        with self._lock:
            try:
                os.utime(path, (now, now))
            except FileNotFoundError:
                return False
            except OSError:  # where nothing can be written, nothing is collected either
                return True
        return True

    def remove_old(self, path: str, since: float) -> bool:
        """Remove a file unless it is young by now; return whether it is gone. Raises OSError."""
        with self._lock:
            try:
                if os.stat(path).st_mtime >= since:
                    return False
                self._fs.unlink(path)
            except FileNotFoundError:
                pass
        return True


class Folders:
    """Folders below a root that survive a power failure before anything in them is promised."""

    def __init__(self, fs: Disk, root: str) -> None:
        """``root`` exists and is durable."""
        self._fs = fs
        self._root = root
        self._durable: set[str] = {root}
        self._making = threading.Lock()
        self._guard = threading.Lock()
        self._turns: dict[str, _Turns] = {}

    def need(self, path: str, *inside: str) -> None:
        """Make a folder with some folders in it, durably, unless that was done already; raises OSError.

        Folders that exist are synced as well when they are met for the first time: an earlier process
        may have been killed between making something in them and syncing that.
        """
        wanted = [path, *(os.path.join(path, name) for name in inside)]
        if self._durable.issuperset(wanted):
            return
        with self._making:
            chain: list[str] = []
            above = path
            while above not in self._durable:
                chain.append(above)
                above = os.path.dirname(above)
            chain.reverse()
            stale = {above} if chain else set()
            for folder in [*chain, *wanted[1:]]:
                if folder in self._durable:
                    continue
                stale.add(os.path.dirname(folder))
                if not self._make(folder):
                    stale.add(folder)
            for folder in sorted(stale, reverse=True):
                self._fs.sync_directory(folder)
            self._durable.update(chain, wanted)

    def sync(self, path: str) -> None:
        """Return when what is in a folder by now is durable; who waits meanwhile shares the next fsync."""
        with self._guard:
            turns = self._turns.setdefault(path, _Turns())
            turns.users += 1
            turns.asked += 1
            mine = turns.asked
        try:
            with turns.turn:
                if turns.done < mine:
                    with self._guard:
                        covered = turns.asked
                    self._fs.sync_directory(path)
                    turns.done = covered
        finally:
            with self._guard:
                turns.users -= 1
                if not turns.users:
                    del self._turns[path]

    def _make(self, folder: str) -> bool:
        """Make one folder; return False if it was there."""
        try:
            self._fs.make_directory(folder)
        except FileExistsError:
            return False
        return True


class _Turns:
    """Who waits for the fsync of one folder: each asker has a number, each fsync covers those before it."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.users = self.asked = self.done = 0
