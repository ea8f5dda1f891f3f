"""Blobs as files in a directory.

``blobs/sha256/<hex>`` has the content, as in an OCI layout, so that other programs can read it;
``composed/<hex>`` lists the parts of a blob that is stored as parts. ``docs/reference/store.md``
specifies both, the rule by which unchanged files are trusted, and the order of writes.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from typing import TYPE_CHECKING, BinaryIO

from pumice import files
from pumice.digest import check, from_hex, hex_of
from pumice.errors import FormatError, StoreError, TrustError
from pumice.os_errors import STORE, translate_os_errors
from pumice.progress import Silent
from pumice.store.compositions import Composition, Compositions
from pumice.store.stat_cache import BlobStatCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pumice.digest import Digest
    from pumice.progress import Progress


_CHUNK = 1 << 20
_BUFFER = 1 << 16


class DirectoryBlobs:
    """A store of blobs in a directory that exists; see `pumice.store.blobs.Blobs`.

    Its user holds the shared lock of the store (`Home` does), so that no blob in use is removed. Safe for
    threads and processes. All methods raise StoreError for errors of the disk.
    """

    def __init__(self, root: str, fs: files.FileSystem = files.OS, progress: Progress | None = None) -> None:
        """``root`` has the directories ``blobs/sha256``, ``composed``, ``locks`` and ``tmp``."""
        self._blob_directory = os.path.join(root, "blobs", "sha256", "")
        self._scratch = os.path.join(root, "tmp", "")
        self._compositions = Compositions(root, fs)
        self._fs = fs
        self._progress: Progress = progress or Silent()
        self._stat_cache = BlobStatCache(os.path.join(root, "trust"))
        # Held while a blob gets its name and while a damaged blob is removed, so that no process removes
        # the intact blob with which another process has just replaced a damaged one.
        self._names_lock = os.path.join(root, "locks", "blobs")
        self._unsynced: set[str] = set()
        self.added: set[Digest] = set()
        """The blobs that this process added; those that the store had before are not among them."""
        self._syncing = threading.Lock()

    def size(self, digest: Digest) -> int | None:
        """Return the size in bytes of a blob that is present and intact, else None.

        A damaged blob is removed with a warning to the progress display, so that it is made or fetched
        again.
        """
        size = self._verify_size(hex_of(digest))
        if size is not None:
            return size
        composition = self.composition(digest)
        if composition is None or any(
            self._verify_size(hex_of(part)) != listed_size
            for part, listed_size in composition.parts_with_sizes()
        ):
            return None
        return composition.size

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading and seeking; raises StoreError if it is missing or damaged."""
        name = hex_of(digest)
        if self._verify_size(name) is not None:
            return self._open(name)
        composition = self.composition(digest)
        if composition is None or self.size(digest) is None:
            raise StoreError(f"the store has no blob {digest}", hint="build or fetch the image again")
        from pumice.store.chained_reader import ChainedReader

        names = [hex_of(part) for part in composition.parts]
        return io.BufferedReader(
            ChainedReader(composition.sizes, lambda index: self._open(names[index])), _BUFFER
        )

    def writer(self) -> DirectoryWriter:
        """Start writing a new blob; returns a context manager."""
        path = self._scratch + files.scratch_name()
        with translate_os_errors(self._scratch):
            return DirectoryWriter(self, path, self._fs.create(path, 0o444))

    def adopt(self, path: str, digest: Digest) -> None:
        """Make a file on the same file system the blob ``digest``, without copying it.

        A symbolic link stays in its place. The caller guarantees that the content is right, as for `compose`,
        and that nobody writes to the file any more.
        """
        name = hex_of(digest)
        with translate_os_errors(path):
            os.chmod(path, 0o444)
        self._install_blob(path, lambda: files.sync_file(path), name)
        with translate_os_errors(path):
            if not os.path.lexists(path):
                os.symlink(self._blob_directory + name, path)

    def compose(self, parts: Sequence[Digest], digest: Digest) -> None:
        """Make ``digest`` readable as the concatenation of ``parts``, which must be present.

        The caller guarantees that ``digest`` is right; `verify` checks it.
        """
        if self._verify_size(hex_of(digest)) is not None:
            self._unsynced.add(self._blob_directory)
            return
        names: list[str] = []
        sizes: list[int] = []
        for part in parts:
            part_composition = None if self._verify_size(hex_of(part)) is not None else self.composition(part)
            for name in part_composition.parts if part_composition else (part,):
                size = self._verify_size(hex_of(name))
                if size is None:
                    raise StoreError(f"the store has no blob {name}", hint="build or fetch it again")
                names.append(name)
                sizes.append(size)
        if self._compositions.put(digest, Composition(tuple(names), tuple(sizes))):
            self.added.add(digest)
        self._unsynced.add(self._compositions.directory)

    def digests(self) -> Iterator[Digest]:
        """Yield the digest of every blob, composed ones included, sorted. Reads names only."""
        names: set[str] = set()
        for folder in (self._blob_directory, self._compositions.directory):
            with translate_os_errors(folder):
                names.update(os.listdir(folder))
        for name in sorted(names):
            try:
                yield from_hex(name)
            except FormatError:
                continue  # not a blob

    def composition(self, digest: Digest) -> Composition | None:
        """Return the parts of a composed blob, None if ``digest`` is not composed or the list is damaged."""
        return self._compositions.get(digest)

    def delete(self, digest: Digest) -> int:
        """Remove a blob, if it exists; return the number of bytes that this frees."""
        freed_size = 0
        for folder in (self._blob_directory, self._compositions.directory):
            path = folder + hex_of(digest)
            try:
                size = os.stat(path).st_size
                self._fs.unlink(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise STORE.translate(error, path) from error
            freed_size += size
        return freed_size

    def stored_size(self, digest: Digest) -> int:
        """Return the size on disk of a blob in bytes; for a composed blob, that of its list of parts."""
        for folder in (self._blob_directory, self._compositions.directory):
            try:
                return os.stat(folder + hex_of(digest)).st_size
            except OSError:
                continue
        return 0

    def modified_at(self, digest: Digest) -> float:
        """Return when a blob was stored, in seconds since the epoch; 0 if it is missing."""
        for folder in (self._blob_directory, self._compositions.directory):
            try:
                return os.stat(folder + hex_of(digest)).st_mtime
            except OSError:
                continue
        return 0.0

    def verify(self, digest: Digest) -> bool:
        """Hash a blob, ignoring the stat cache; return whether it is intact. Removes nothing."""
        name = hex_of(digest)
        if os.path.lexists(self._blob_directory + name):
            return self._verify_file(name) is not None
        composition = self.composition(digest)
        if composition is None:
            return False
        hasher = hashlib.sha256()
        try:
            for part in composition.parts:
                self._hash_file(self._blob_directory + hex_of(part), hasher)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise STORE.translate(error, self._compositions.directory + name) from error
        return hasher.hexdigest() == name

    def delete_unless_intact(self, digest: Digest) -> None:
        """Remove a blob unless it is intact, or has been replaced by an intact one in the meantime."""
        with files.FileLock(self._names_lock):
            if not self.verify(digest):
                self.delete(digest)

    def discard_if_damaged(self, digest: Digest) -> bool:
        """Remove a damaged blob with its damaged parts; return whether it was damaged.

        For a caller that read another digest although the file has the recorded stamp.
        """
        if self.verify(digest):
            return False
        composition = self.composition(digest)
        for part in composition.parts if composition else ():
            if not self.verify(part):
                self._discard(hex_of(part))
        self._discard(hex_of(digest))
        return True

    def sync(self, *, everything: bool = False) -> None:
        """Make the blobs committed so far durable; return once they would survive a power failure.

        `Records` and `Refs` call it before they point to a blob. ``everything`` includes blobs that other
        processes committed.
        """
        with self._syncing:  # a caller with nothing to sync waits for a sync in progress
            folders = (
                {self._blob_directory, self._compositions.directory} if everything else set(self._unsynced)
            )
            self._unsynced -= folders
            for folder in sorted(folders):
                with translate_os_errors(folder):
                    self._fs.sync_directory(folder)

    def compact_stat_cache(self) -> None:
        """Drop the entries of removed blobs from the stat cache; requires the exclusive lock."""
        lines = self._stat_cache.encode_entries(sorted(os.listdir(self._blob_directory)))
        path = self._blob_directory.removesuffix(os.path.join("blobs", "sha256", "")) + "trust"
        with translate_os_errors(path):
            files.install(self._scratch + files.scratch_name(), path, lines, fs=self._fs, sync=False)

    def _install_blob(self, scratch: str, sync: Callable[[], object], name: str) -> None:
        """Turn a temporary file, which ``sync`` makes durable, into the blob ``name``."""
        target = self._blob_directory + name
        if self._verify_size(name) is None:
            with translate_os_errors(target):
                sync()
                with files.FileLock(self._names_lock):
                    self._fs.rename(scratch, target)
                    self._stat_cache.record(name, os.stat(target))
            self.added.add(f"sha256:{name}")
        # Also if the blob existed: the process that stored it may not have synced it yet.
        self._unsynced.add(self._blob_directory)

    def _open(self, name: str) -> BinaryIO:
        path = self._blob_directory + name
        with translate_os_errors(path):
            return open(path, "rb", buffering=_BUFFER)

    def _verify_size(self, name: str) -> int | None:
        path = self._blob_directory + name
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise STORE.translate(error, path) from error
        if self._stat_cache.is_unchanged(name, status):
            return status.st_size
        size = self._verify_file(name)
        return self._discard(name) if size is None else size

    def _verify_file(self, name: str) -> int | None:
        """Hash a blob; return its size and record its stamp if it is intact, else return None."""
        path = self._blob_directory + name
        hasher = hashlib.sha256()
        try:
            status = self._hash_file(path, hasher)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise STORE.translate(error, path) from error
        if hasher.hexdigest() != name:
            return None
        self._stat_cache.record(name, status)
        return status.st_size

    @staticmethod
    def _hash_file(path: str, hasher: hashlib._Hash) -> os.stat_result:
        with open(path, "rb", buffering=0) as file:
            # Before reading, so that a change during the read leads to another stamp.
            status = os.fstat(file.fileno())
            while data := file.read(_CHUNK):
                hasher.update(data)
        return status

    def _discard(self, name: str) -> int | None:
        """Remove a damaged blob; return its size instead if another process has replaced it."""
        with files.FileLock(self._names_lock):
            size = self._verify_file(name)
            if size is None:
                files.unlink_quietly(self._blob_directory + name, self._fs)
                files.unlink_quietly(self._compositions.directory + name, self._fs)
        if size is None:
            self._progress.warn(
                f"blob sha256:{name} in the store was damaged and will be made or fetched again"
            )
        return size


class DirectoryWriter:
    """A blob that is being written to a `DirectoryBlobs`. Belongs to one thread."""

    def __init__(self, blobs: DirectoryBlobs, path: str, file: files.NewFile) -> None:
        self._blobs = blobs
        self._path = path
        self._file = file
        self._hasher = hashlib.sha256()
        self.size = 0
        """The number of bytes so far."""

    @property
    def digest(self) -> Digest:
        """The digest of what was written so far."""
        return f"sha256:{self._hasher.hexdigest()}"

    def open(self) -> BinaryIO:
        """Open what was written so far for reading; raises StoreError."""
        try:
            return open(self._path, "rb", buffering=_BUFFER)
        except FileNotFoundError:  # committed
            return self._blobs.open(self.digest)
        except OSError as error:
            raise STORE.translate(error, self._path) from error

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append ``data``; raises StoreError."""
        with translate_os_errors(self._path):
            self._file.write(data)
        self._hasher.update(data)
        self.size += len(data)
        return len(data)

    def commit(self, expected: Digest | None = None) -> Digest:
        """Add the blob to the store and return its digest; raises TrustError if it is not ``expected``.

        Its content is durable on return, its name after `DirectoryBlobs.sync`.
        """
        digest = self.digest
        if expected is not None and check(expected) != digest:
            raise TrustError(f"the content's digest is {digest}, not {expected}")
        self._blobs._install_blob(self._path, self._complete, hex_of(digest))
        return digest

    def _complete(self) -> None:
        self._file.sync()
        self._file.close()

    def __enter__(self) -> DirectoryWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        if os.path.lexists(self._path):
            files.unlink_quietly(self._path, self._blobs._fs)
