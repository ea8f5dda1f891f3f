"""Unfinished uploads: files in ``repositories/NAME/_uploads``, named ``ALGORITHM-ID`` with a random id.

An upload has no other state, so uploads survive the end of the process: what was hashed is hashed again
from the file. Uploads are not synced before they are finished; if a power failure damages one, its digest
does not match in the end, and the client starts again.
"""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING

from pumice.os_errors import translate_os_errors
from pumice.registry.server import grammar
from pumice.registry.server.storage.disk import paths
from pumice.registry.server.storage.disk.filesystem import REGISTRY
from pumice.registry.server.storage.protocol import (
    DigestMismatchError,
    UnknownUploadError,
    UploadOffsetError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pumice.files import NewFile
    from pumice.registry.server.storage.disk.blobs import DiskBlobs
    from pumice.registry.server.storage.disk.filesystem import Disk, DurableDirectories

_CHUNK = 1 << 20
_MAX_OPEN = 64
"""Uploads whose file and hash are kept in memory; others are opened, and hashed, again."""

_WHERE = "an upload"
_READ_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class DiskUploadReader:
    """Implements `protocol.UploadReader` with a descriptor, which outlives the name of the file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``; raises OSError."""
        return os.pread(self._descriptor, length, offset)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


class DiskUpload:
    """Implements `protocol.Upload`."""

    def __init__(self, path: str, offset: int) -> None:
        self._path = path
        self.offset = offset

    def open(self) -> DiskUploadReader:
        """Open the received bytes for reading."""
        with translate_os_errors(_WHERE, REGISTRY):
            try:
                return DiskUploadReader(os.open(self._path, _READ_FLAGS))
            except FileNotFoundError:
                raise UnknownUploadError from None


class DiskUploads:
    """Implements `protocol.Uploads`. Each upload has one user at a time."""

    def __init__(
        self,
        fs: Disk,
        root: str,
        directories: DurableDirectories,
        blobs: DiskBlobs,
        random: Callable[[int], bytes],
    ) -> None:
        """``random`` returns the requested number of unpredictable bytes."""
        self._fs = fs
        self._root = root
        self._directories = directories
        self._blobs = blobs
        self._random = random
        self._locks = tuple(threading.Lock() for _ in range(256))
        self._guard = threading.Lock()
        self._open_uploads: OrderedDict[str, _OpenUpload] = OrderedDict()

    def begin(self, repository: str, algorithm: str = "sha256") -> str:
        """Create an upload and return its id. Raises FormatError, StoreError."""
        if algorithm not in grammar.ALGORITHMS:
            raise ValueError(algorithm)
        directory = paths.repository_directory(self._root, repository, paths.UPLOADS)
        upload = self._random(16).hex()
        with translate_os_errors(_WHERE, REGISTRY):
            self._directories.ensure(directory)
            self._fs.create(os.path.join(directory, f"{algorithm}-{upload}")).close()
        return upload

    def find(self, repository: str, upload: str) -> DiskUpload | None:
        """Return an upload."""
        path = self._find_path(repository, upload)
        if path is None:
            return None
        try:
            return DiskUpload(path, os.stat(path).st_size)
        except OSError:
            return None

    def append(self, repository: str, upload: str, offset: int, chunk: bytes) -> int:
        """Append ``chunk``, which starts at byte ``offset``; return the new offset."""
        with self._lock(upload):
            state = self._open(repository, upload)
            if offset != state.size:
                raise UploadOffsetError(state.size)
            try:
                with translate_os_errors(_WHERE, REGISTRY):
                    state.file.write(chunk)
            except BaseException:
                self._close(upload)  # a part may have been written: read the size and hash it again
                raise
            state.hasher.update(chunk)
            state.size += len(chunk)
            return state.size

    def finish(self, repository: str, upload: str, digest: str) -> None:
        """Check an upload, sync it, and turn it into a blob of the repository."""
        algorithm, _, hex_digits = paths.file_name(digest).partition("-")
        with self._lock(upload):
            state = self._open(repository, upload)
            try:
                if state.algorithm != algorithm:
                    with translate_os_errors(_WHERE, REGISTRY):
                        state.hasher, state.size = _hash_file(state.path, algorithm)
                if state.hasher.hexdigest() != hex_digits:
                    self._remove(state.path)
                    raise DigestMismatchError(f"the uploaded content does not have the digest {digest}")
                self._sync(state)
                self._blobs.add(repository, digest, state.path)
            finally:
                self._close(upload)

    def cancel(self, repository: str, upload: str) -> bool:
        """Remove an upload."""
        with self._lock(upload):
            self._close(upload)
            path = self._find_path(repository, upload)
            return path is not None and self._remove(path)

    def remove_expired(self, repository: str, since: float) -> int:
        """Remove the repository's uploads that received nothing since then; return how many."""
        removed = 0
        for upload, path in self._list(repository):
            with self._lock(upload):
                try:
                    if os.stat(path).st_mtime >= since:
                        continue
                except OSError:
                    continue
                self._close(upload)
                removed += self._remove(path)
        return removed

    def close(self) -> None:
        """Close all files; the uploads continue when the storage is opened again."""
        with self._guard:
            while self._open_uploads:
                self._open_uploads.popitem()[1].file.close()

    def _open(self, repository: str, upload: str) -> _OpenUpload:
        """Return an upload's state, read from its file if necessary. The caller holds its lock."""
        path = self._find_path(repository, upload)
        with self._guard:
            state = self._open_uploads.get(upload)
            if state is not None and state.path == path:
                self._open_uploads.move_to_end(upload)
                return state
        if path is None:
            raise UnknownUploadError
        algorithm = os.path.basename(path).partition("-")[0]
        with translate_os_errors(_WHERE, REGISTRY):
            hasher, size = _hash_file(path, algorithm)
            state = _OpenUpload(path, algorithm, self._fs.extend(path), hasher, size)
        with self._guard:
            self._open_uploads[upload] = state
            self._close_oldest(upload)
        return state

    def _close_oldest(self, current: str) -> None:
        """Close the files of uploads over the limit, except of ``current`` and those in use."""
        for upload in list(self._open_uploads)[: len(self._open_uploads) - _MAX_OPEN]:
            lock = self._lock(upload)
            if upload == current or lock is self._lock(current) or not lock.acquire(blocking=False):
                continue
            try:
                self._open_uploads.pop(upload).file.close()
            finally:
                lock.release()

    def _close(self, upload: str) -> None:
        with self._guard:
            state = self._open_uploads.pop(upload, None)
        if state is not None:
            state.file.close()

    def _find_path(self, repository: str, upload: str) -> str | None:
        if not paths.is_upload_id(upload):
            return None
        directory = paths.repository_directory(self._root, repository, paths.UPLOADS)
        for algorithm in grammar.ALGORITHMS:
            path = os.path.join(directory, f"{algorithm}-{upload}")
            if os.path.exists(path):
                return path
        return None

    def _list(self, repository: str) -> Iterator[tuple[str, str]]:
        """Yield the id and path of each upload of a repository."""
        directory = paths.repository_directory(self._root, repository, paths.UPLOADS)
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            return
        for name in names:
            if paths.is_upload_id(upload := name.partition("-")[2]):
                yield upload, os.path.join(directory, name)

    def _sync(self, state: _OpenUpload) -> None:
        try:
            with translate_os_errors(_WHERE, REGISTRY):
                state.file.sync()
        except BaseException:
            # The kernel counts data as written after a failed fsync, so a second fsync proves nothing.
            self._remove(state.path)
            raise

    def _remove(self, path: str) -> bool:
        try:
            self._fs.unlink(path)
        except OSError:
            return False
        return True

    def _lock(self, upload: str) -> threading.Lock:
        return self._locks[zlib.crc32(upload.encode("utf-8", "replace")) & 255]


class _OpenUpload:
    """The state of an upload in memory: its open file, the hash of its bytes so far, and their number."""

    def __init__(self, path: str, algorithm: str, file: NewFile, hasher: hashlib._Hash, size: int) -> None:
        self.path = path
        self.algorithm = algorithm
        self.file = file
        self.hasher = hasher
        self.size = size


def _hash_file(path: str, algorithm: str) -> tuple[hashlib._Hash, int]:
    """Return the hash of a file, and its size; raises OSError."""
    hasher = hashlib.new(algorithm)
    size = 0
    with open(path, "rb", buffering=0) as file:
        while data := file.read(_CHUNK):
            hasher.update(data)
            size += len(data)
    return hasher, size
