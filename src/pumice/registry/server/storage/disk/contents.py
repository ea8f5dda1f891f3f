"""The content of blobs: one file per digest, shared by all repositories."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pumice.errors import StoreError
from pumice.files import scratch_name
from pumice.os_errors import translate_os_errors
from pumice.registry.server import grammar
from pumice.registry.server.storage.disk import paths
from pumice.registry.server.storage.disk.filesystem import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.registry.server.storage.disk.filesystem import Disk, DurableDirectories

SMALL = 64 << 10
"""Size in bytes up to which the content of a blob is cached in memory."""

_CHUNK = 1 << 20


class DiskContents:
    """Implements `protocol.Contents`; adds what `DiskBlobs` needs to link content to repositories."""

    def __init__(self, fs: Disk, root: str, directories: DurableDirectories) -> None:
        self._fs = fs
        self._root = root
        self._directories = directories
        self._guard = threading.Lock()
        self._pinned: Counter[str] = Counter()
        self._linked: set[str] | None = None

    def path(self, digest: str) -> str:
        """Return where the content is; raises FormatError."""
        return paths.content_path(self._root, digest)

    def list(self) -> Iterator[str]:
        """Yield the digests of all content, in order."""
        for algorithm in grammar.ALGORITHMS:
            directory = os.path.join(self._root, "blobs", algorithm)
            for prefix in _entries(directory):
                for name in _entries(os.path.join(directory, prefix)):
                    if grammar.DIGEST.fullmatch(digest := f"{algorithm}:{name}"):
                        yield digest

    def size(self, digest: str) -> int | None:
        """Return the size of the content in bytes."""
        try:
            return os.stat(self.path(digest)).st_size
        except OSError:
            return None

    def read(self, digest: str) -> Iterator[bytes] | None:
        """Return the content in chunks, without checking it."""
        try:
            file = open(self.path(digest), "rb", buffering=0)  # noqa: SIM115 - closed by the generator
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read the content: {error.strerror}", where=digest) from error

        def chunks() -> Iterator[bytes]:
            with file:
                try:
                    while data := file.read(_CHUNK):
                        yield data
                except OSError as error:
                    raise StoreError(f"cannot read the content: {error.strerror}", where=digest) from error

        return chunks()

    def install(self, digest: str, scratch: str) -> None:
        """Rename a durable file to be the content of ``digest``, durably; raises OSError."""
        path = self.path(digest)
        self._directories.ensure(os.path.dirname(path))
        self._fs.rename(scratch, path)
        self._directories.sync(os.path.dirname(path))

    @contextmanager
    def pinned(self, digest: str) -> Iterator[None]:
        """Keep `remove` from removing content while it is being linked to a repository."""
        with self._guard:
            self._pinned[digest] += 1
        try:
            yield
        finally:
            with self._guard:
                self._pinned[digest] -= 1
                if not self._pinned[digest]:
                    del self._pinned[digest]

    def note_link(self, digest: str) -> None:
        """Note that a repository has started to use content; a collection in progress spares it."""
        with self._guard:
            if self._linked is not None:
                self._linked.add(digest)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Record new links in this context, so that `remove` spares their content."""
        with self._guard:
            self._linked = set()
        try:
            yield
        finally:
            with self._guard:
                self._linked = None

    def remove(self, digest: str) -> int:
        """Remove content that no repository uses; return the bytes freed, 0 if it has to stay."""
        path = self.path(digest)
        trash = os.path.join(self._root, "tmp", scratch_name())
        with translate_os_errors(digest, REGISTRY):
            with self._guard:  # only for a rename, because removing a large file can take long
                if self._pinned[digest] or self._linked is None or digest in self._linked:
                    return 0
                try:
                    size = os.stat(path).st_size
                    self._fs.rename(path, trash)
                except FileNotFoundError:
                    return 0
            self._fs.unlink(trash)
        return size


def read_small(path: str, digest: str) -> bytes | None:
    """Return the content of a small blob, checked because it will be cached; None if it is gone.

    Raises StoreError if it does not match ``digest``.
    """
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


def _entries(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []
