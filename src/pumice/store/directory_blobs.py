"""Blobs as files of one directory.

``blobs/sha256/<hex>`` holds content, in the shape of an OCI layout so that other programs can be
pointed at it; ``composed/<hex>`` holds the list of parts of a blob that is kept as its parts.
``docs/reference/store.md`` specifies both, the trust rule and the order of writes.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice import files
from pumice.digest import check, from_hex, hex_of
from pumice.errors import FormatError, StoreError, TrustError
from pumice.os_errors import STORE, translate_os_errors
from pumice.progress import Silent
from pumice.store import sealed_files
from pumice.store.chained_reader import Chained
from pumice.store.stat_cache import Trust

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.digest import Digest
    from pumice.progress import Progress


_CHUNK = 1 << 20
_MAX_COMPOSED = 1 << 20
_BUFFER = 1 << 16


class Parts(msgspec.Struct, frozen=True):
    """What ``composed/<hex>`` says: the blobs that follow each other, with their sizes in bytes."""

    parts: tuple[str, ...]
    sizes: tuple[int, ...]


class DirectoryBlobs:
    """A store of blobs in a directory that exists; see `pumice.store.blobs.Blobs`.

    Whoever uses it holds the home's shared lock (`Home` does), so nothing it has seen goes away.
    Safe for threads and processes. All methods raise StoreError for what the disk refuses.
    """

    def __init__(self, root: str, fs: files.FileSystem = files.OS, progress: Progress | None = None) -> None:
        """``root`` has the directories ``blobs/sha256``, ``composed``, ``locks`` and ``tmp``."""
        self._plain = os.path.join(root, "blobs", "sha256", "")
        self._composed = os.path.join(root, "composed", "")
        self._scratch = os.path.join(root, "tmp", "")
        self._fs = fs
        self._progress: Progress = progress or Silent()
        self._trust = Trust(os.path.join(root, "trust"))
        # Held while a blob gets its name and while a damaged one is removed: so nobody removes what
        # another process has just put in the place of what was damaged.
        self._names_lock = os.path.join(root, "locks", "blobs")
        self._unsynced: set[str] = set()
        self._syncing = threading.Lock()

    def size(self, digest: Digest) -> int | None:
        """Return the size of a blob that is present and sound, else None.

        A blob that turns out to be damaged is removed, with a warning to the progress display, so
        that whoever needs it makes or fetches it again.
        """
        found = self._size(hex_of(digest))
        if found is not None:
            return found
        whole = self.parts(digest)
        if whole is None or any(self._size(hex_of(part)) != n for part, n in _pairs(whole)):
            return None
        return sum(whole.sizes)

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading and seeking; raises StoreError if there is none that is sound."""
        name = hex_of(digest)
        if self._size(name) is not None:
            return self._open(name)
        whole = self.parts(digest)
        if whole is None or self.size(digest) is None:
            raise StoreError(f"the store has no blob {digest}", hint="build or fetch the image again")
        names = [hex_of(part) for part in whole.parts]
        return io.BufferedReader(Chained(whole.sizes, lambda i: self._open(names[i])), _BUFFER)

    def writer(self) -> DirectoryWriter:
        """Begin a new blob; a context manager."""
        path = self._scratch + files.scratch_name()
        with translate_os_errors(self._scratch):
            return DirectoryWriter(self, path, self._fs.create(path, 0o444))

    def compose(self, parts: Sequence[Digest], digest: Digest) -> None:
        """Make ``digest`` readable as the concatenation of ``parts``, which must be present.

        The caller has hashed the whole and answers for ``digest``; `verify` checks it.
        """
        if self._size(hex_of(digest)) is not None:
            self._unsynced.add(self._plain)
            return
        names: list[str] = []
        sizes: list[int] = []
        for part in parts:
            inner = None if self._size(hex_of(part)) is not None else self.parts(part)
            for name in inner.parts if inner else (part,):
                size = self._size(hex_of(name))
                if size is None:
                    raise StoreError(f"the store has no blob {name}", hint="build or fetch it again")
                names.append(name)
                sizes.append(size)
        data = sealed_files.seal(msgspec.json.encode(Parts(tuple(names), tuple(sizes))))
        target = self._composed + hex_of(digest)
        with translate_os_errors(target):
            files.install(self._scratch + files.scratch_name(), target, data, fs=self._fs, mode=0o444)
        self._unsynced.add(self._composed)

    def digests(self) -> Iterator[Digest]:
        """Yield the digest of every blob, composed ones included, sorted. Looks at names only."""
        names: set[str] = set()
        for folder in (self._plain, self._composed):
            with translate_os_errors(folder):
                names.update(os.listdir(folder))
        for name in sorted(names):
            try:
                yield from_hex(name)
            except FormatError:
                continue  # not ours

    def parts(self, digest: Digest) -> Parts | None:
        """Return what a composed blob consists of; None if ``digest`` is not (soundly) composed."""
        try:
            with open(self._composed + hex_of(digest), "rb", buffering=0) as file:
                data = file.read(_MAX_COMPOSED)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise STORE.translate(error, self._composed) from error
        content = sealed_files.unseal(data)
        return None if content is None else msgspec.json.decode(content, type=Parts)

    def delete(self, digest: Digest) -> int:
        """Remove a blob, if it is there; return the bytes that this frees."""
        freed = 0
        for folder in (self._plain, self._composed):
            path = folder + hex_of(digest)
            try:
                size = os.stat(path).st_size
                self._fs.unlink(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise STORE.translate(error, path) from error
            freed += size
        return freed

    def stored_size(self, digest: Digest) -> int:
        """Return the bytes that a blob itself takes on disk (of a composed one, its list only)."""
        for folder in (self._plain, self._composed):
            try:
                return os.stat(folder + hex_of(digest)).st_size
            except OSError:
                continue
        return 0

    def changed(self, digest: Digest) -> float:
        """Return when a blob came into the store, in seconds since the epoch; 0 if it is not there."""
        for folder in (self._plain, self._composed):
            try:
                return os.stat(folder + hex_of(digest)).st_mtime
            except OSError:
                continue
        return 0.0

    def verify(self, digest: Digest) -> bool:
        """Hash a blob, whatever is recorded of it; say whether it is sound. Removes nothing."""
        name = hex_of(digest)
        if os.path.lexists(self._plain + name):
            return self._hash(name) is not None
        whole = self.parts(digest)
        if whole is None:
            return False
        hasher = hashlib.sha256()
        try:
            for part in whole.parts:
                self._feed(self._plain + hex_of(part), hasher)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise STORE.translate(error, self._composed + name) from error
        return hasher.hexdigest() == name

    def delete_damaged(self, digest: Digest) -> None:
        """Remove a blob unless it is sound, or has been replaced by a sound one meanwhile."""
        with files.FileLock(self._names_lock):
            if not self.verify(digest):
                self.delete(digest)

    def weed(self, digest: Digest) -> bool:
        """Remove a blob, or those of its parts that are damaged, if it is; say whether it was.

        For who copied it out and saw another digest, although it looked as it did when it was hashed.
        """
        if self.verify(digest):
            return False
        whole = self.parts(digest)
        for part in whole.parts if whole else ():
            if not self.verify(part):
                self._discard(hex_of(part))
        self._discard(hex_of(digest))
        return True

    def sync(self, *, everything: bool = False) -> None:
        """Return when the blobs committed here so far would survive a power failure.

        `Records` and `Refs` call it before they point to a blob. ``everything`` includes blobs
        that other processes committed.
        """
        with self._syncing:  # whoever finds nothing to do must wait for who is doing it
            folders = {self._plain, self._composed} if everything else set(self._unsynced)
            self._unsynced -= folders
            for folder in sorted(folders):
                with translate_os_errors(folder):
                    self._fs.sync_directory(folder)

    def rewrite_trust(self) -> None:
        """Drop what is recorded of blobs that are gone; only while nobody else uses the store."""
        lines = self._trust.looks(sorted(os.listdir(self._plain)))
        path = self._plain.removesuffix(os.path.join("blobs", "sha256", "")) + "trust"
        with translate_os_errors(path):
            files.install(self._scratch + files.scratch_name(), path, lines, fs=self._fs, sync=False)

    def _admit(self, scratch: str, file: files.NewFile, name: str) -> None:
        """Make a written temporary file the blob ``name``."""
        target = self._plain + name
        if self._size(name) is None:
            with translate_os_errors(target):
                file.sync()
                file.close()
                with files.FileLock(self._names_lock):
                    self._fs.rename(scratch, target)
                    self._trust.record(name, os.stat(target))
        # Also if it was there: another process may have put it there and not have synced it yet.
        self._unsynced.add(self._plain)

    def _open(self, name: str) -> BinaryIO:
        path = self._plain + name
        with translate_os_errors(path):
            return open(path, "rb", buffering=_BUFFER)

    def _size(self, name: str) -> int | None:
        path = self._plain + name
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise STORE.translate(error, path) from error
        if self._trust.holds(name, status):
            return status.st_size
        found = self._hash(name)
        return self._discard(name) if found is None else found

    def _hash(self, name: str) -> int | None:
        """Return the size if the content is right, and trust it from now on; else None."""
        path = self._plain + name
        hasher = hashlib.sha256()
        try:
            status = self._feed(path, hasher)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise STORE.translate(error, path) from error
        if hasher.hexdigest() != name:
            return None
        self._trust.record(name, status)
        return status.st_size

    @staticmethod
    def _feed(path: str, hasher: hashlib._Hash) -> os.stat_result:
        with open(path, "rb", buffering=0) as file:
            # Before reading: what changes meanwhile will not look like this.
            status = os.fstat(file.fileno())
            while data := file.read(_CHUNK):
                hasher.update(data)
        return status

    def _discard(self, name: str) -> int | None:
        """Remove a damaged blob; return its size instead if another process has replaced it meanwhile."""
        with files.FileLock(self._names_lock):
            size = self._hash(name)
            if size is None:
                files.forget(self._plain + name, self._fs)
                files.forget(self._composed + name, self._fs)
        if size is None:
            self._progress.warn(f"blob sha256:{name} in the store was damaged; it is made or fetched again")
        return size


class DirectoryWriter:
    """A blob on its way into a `DirectoryBlobs`. Belongs to one thread."""

    def __init__(self, blobs: DirectoryBlobs, path: str, file: files.NewFile) -> None:
        self._blobs = blobs
        self._path = path
        self._file = file
        self._hasher = hashlib.sha256()

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append ``data``; raises StoreError."""
        with translate_os_errors(self._path):
            self._file.write(data)
        self._hasher.update(data)
        return len(data)

    def commit(self, expected: Digest | None = None) -> Digest:
        """Make it part of the store; raises TrustError if it is not ``expected``.

        The content is durable on return, its name once `DirectoryBlobs.sync` was called.
        """
        name = self._hasher.hexdigest()
        digest = "sha256:" + name
        if expected is not None and check(expected) != digest:
            raise TrustError(f"the content's digest is {digest}, not {expected}")
        self._blobs._admit(self._path, self._file, name)
        return digest

    def __enter__(self) -> DirectoryWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        if os.path.lexists(self._path):
            files.forget(self._path, self._blobs._fs)


def _pairs(whole: Parts) -> zip[tuple[str, int]]:
    return zip(whole.parts, whole.sizes, strict=True)
