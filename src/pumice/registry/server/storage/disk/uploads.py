"""Unfinished uploads: files in ``repositories/NAME/_uploads``, named by algorithm and an id nobody can guess.

Nothing about them needs a file of its own, so whoever is killed leaves uploads that go on where they
were: what was hashed is hashed again from the file. They are not synced before they are finished; if a
power failure damages one, its digest does not fit in the end and the client starts over.
"""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING

from pumice.errors import StoreError
from pumice.os_errors import translate_os_errors
from pumice.registry.server.storage.disk import paths as names
from pumice.registry.server.storage.disk.filesystem import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pumice.files import NewFile
    from pumice.registry.server.storage.disk.filesystem import Disk, Folders

_CHUNK = 1 << 20
_OPEN = 64
"""Uploads whose file and hash are kept at hand; others are opened, and hashed, again."""


class OutOfOrder(StoreError):  # noqa: N818 - it names the condition that the caller answers (416)
    """Bytes came that are not the next ones of an upload; ``offset`` is where it is."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"the upload is at byte {offset}")
        self.offset = offset


class DigestMismatch(StoreError):  # noqa: N818 - it names the condition that the caller answers (400)
    """What was uploaded has another digest; the upload is gone."""


class UnknownUpload(StoreError):  # noqa: N818 - it names the condition that the caller answers (404)
    """There is no such upload in this repository (any more)."""

    def __init__(self) -> None:
        super().__init__("there is no such upload")


class Uploads:
    """The unfinished uploads of all repositories. Safe for threads; each upload has one user at a time."""

    def __init__(self, fs: Disk, root: str, folders: Folders, random: Callable[[int], bytes]) -> None:
        self._fs = fs
        self._root = root
        self._folders = folders
        self._random = random
        self._locks = tuple(threading.Lock() for _ in range(256))
        self._guard = threading.Lock()
        self._going: OrderedDict[str, _Going] = OrderedDict()

    def begin(self, repository: str, algorithm: str) -> str:
        """Open an upload; return its id. Raises FormatError, StoreError."""
        if algorithm not in names.ALGORITHMS:
            raise ValueError(algorithm)
        folder = names.folder(self._root, repository, names.UPLOADS)
        upload = self._random(16).hex()
        with translate_os_errors("an upload", REGISTRY):
            self._folders.need(folder)
            self._fs.create(os.path.join(folder, f"{algorithm}-{upload}")).close()
        return upload

    def offset(self, repository: str, upload: str) -> int | None:
        """Return how many bytes an upload has; None if there is none such."""
        path = self._find(repository, upload)
        if path is None:
            return None
        try:
            return os.stat(path).st_size
        except OSError:
            return None

    def open(self, repository: str, upload: str) -> int:
        """Return a descriptor that reads the file of an upload, whatever becomes of its name."""
        path = self._find(repository, upload)
        if path is None:
            raise UnknownUpload
        with translate_os_errors("an upload", REGISTRY):
            return os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))

    def append(self, repository: str, upload: str, at: int, chunk: bytes) -> int:
        """Append ``chunk``, which starts at byte ``at``; return the new offset.

        Raises OutOfOrder, UnknownUpload, and DiskFull: then `offset` says how much of it was taken.
        """
        with self._lock(upload):
            going = self._open(repository, upload)
            if at != going.size:
                raise OutOfOrder(going.size)
            try:
                with translate_os_errors("an upload", REGISTRY):
                    going.file.write(chunk)
            except BaseException:
                self._close(upload)  # it may have taken a part: look again, and hash again
                raise
            going.hasher.update(chunk)
            going.size += len(chunk)
            return going.size

    def finish(self, repository: str, upload: str, digest: str, admit: Callable[[str, int], None]) -> None:
        """Check an upload, make its content durable, and let ``admit`` (path, size) take the file away.

        Raises UnknownUpload, DiskFull, and DigestMismatch: then the upload is gone.
        """
        algorithm, _, hex_digits = names.file_of(digest).partition("-")
        with self._lock(upload):
            going = self._open(repository, upload)
            try:
                if going.algorithm != algorithm:
                    with translate_os_errors("an upload", REGISTRY):
                        going.hasher, going.size = _hashed(going.path, algorithm)
                if going.hasher.hexdigest() != hex_digits:
                    self._remove(going.path)
                    raise DigestMismatch(f"what was uploaded is not {digest}")
                self._sync(going)
                admit(going.path, going.size)
            finally:
                self._close(upload)

    def cancel(self, repository: str, upload: str) -> bool:
        """Forget an upload; return False if there is none such."""
        with self._lock(upload):
            self._close(upload)
            path = self._find(repository, upload)
            return path is not None and self._remove(path)

    def expire(self, repository: str, before: float) -> int:
        """Forget the uploads of a repository to which nothing came since ``before``; return how many."""
        gone = 0
        for upload, path in self._all(repository):
            with self._lock(upload):
                try:
                    if os.stat(path).st_mtime >= before:
                        continue
                except OSError:
                    continue
                self._close(upload)
                gone += self._remove(path)
        return gone

    def close(self) -> None:
        """Let go of all files; the uploads can go on later."""
        with self._guard:
            while self._going:
                self._going.popitem()[1].file.close()

    def _open(self, repository: str, upload: str) -> _Going:
        """Return an upload's state, from its file if need be. The caller holds its lock."""
        path = self._find(repository, upload)
        with self._guard:
            going = self._going.get(upload)
            if going is not None and going.path == path:
                self._going.move_to_end(upload)
                return going
        if path is None:
            raise UnknownUpload
        algorithm = os.path.basename(path).partition("-")[0]
        with translate_os_errors("an upload", REGISTRY):
            hasher, size = _hashed(path, algorithm)
            going = _Going(path, algorithm, self._fs.extend(path), hasher, size)
        with self._guard:
            self._going[upload] = going
            self._make_room(upload)
        return going

    def _make_room(self, mine: str) -> None:
        for other in list(self._going)[: len(self._going) - _OPEN]:
            lock = self._lock(other)
            if other == mine or lock is self._lock(mine) or not lock.acquire(blocking=False):
                continue  # it is being used
            try:
                self._going.pop(other).file.close()
            finally:
                lock.release()

    def _close(self, upload: str) -> None:
        with self._guard:
            going = self._going.pop(upload, None)
        if going is not None:
            going.file.close()

    def _find(self, repository: str, upload: str) -> str | None:
        if not names.is_upload(upload):
            return None
        folder = names.folder(self._root, repository, names.UPLOADS)
        for algorithm in names.ALGORITHMS:
            path = os.path.join(folder, f"{algorithm}-{upload}")
            if os.path.exists(path):
                return path
        return None

    def _all(self, repository: str) -> Iterator[tuple[str, str]]:
        folder = names.folder(self._root, repository, names.UPLOADS)
        try:
            found = sorted(os.listdir(folder))
        except OSError:
            return
        for file in found:
            if names.is_upload(upload := file.partition("-")[2]):
                yield upload, os.path.join(folder, file)

    def _sync(self, going: _Going) -> None:
        try:
            with translate_os_errors("an upload", REGISTRY):
                going.file.sync()
        except BaseException:
            # What a failed fsync has not written counts as written afterwards: never ask it twice.
            self._remove(going.path)
            raise

    def _remove(self, path: str) -> bool:
        try:
            self._fs.unlink(path)
        except OSError:
            return False
        return True

    def _lock(self, upload: str) -> threading.Lock:
        return self._locks[zlib.crc32(upload.encode("utf-8", "replace")) & 255]


class _Going:
    """An upload at hand: its open file, what was hashed so far, and how much that is."""

    def __init__(self, path: str, algorithm: str, file: NewFile, hasher: hashlib._Hash, size: int) -> None:
        self.path = path
        self.algorithm = algorithm
        self.file = file
        self.hasher = hasher
        self.size = size


def _hashed(path: str, algorithm: str) -> tuple[hashlib._Hash, int]:
    hasher = hashlib.new(algorithm)
    size = 0
    with open(path, "rb", buffering=0) as file:
        while data := file.read(_CHUNK):
            hasher.update(data)
            size += len(data)
    return hasher, size
