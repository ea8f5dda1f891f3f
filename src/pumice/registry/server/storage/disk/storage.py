"""What a registry keeps, as plain files below one directory.

``docs/reference/registry-layout.md`` says which files and what is guaranteed. In short: when a method
that changes something returns, the change survives a power failure; when it raises, it happened whole or
not at all, and can be tried again.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from pumice import files, ownership
from pumice.errors import FormatError, StoreError
from pumice.os_errors import translate_os_errors
from pumice.registry.server.storage.disk import paths as names
from pumice.registry.server.storage.disk.blobs import Blobs, StoredBlob
from pumice.registry.server.storage.disk.filesystem import OS, REGISTRY, Ages, DiskFull, Folders
from pumice.registry.server.storage.disk.manifests import Manifests, StoredManifest
from pumice.registry.server.storage.disk.uploads import DigestMismatch, OutOfOrder, UnknownUpload, Uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pumice.registry.server.storage.disk.filesystem import Disk

__all__ = [
    "DigestMismatch",
    "DiskFull",
    "OutOfOrder",
    "Storage",
    "StoredBlob",
    "StoredManifest",
    "UnknownUpload",
    "open_storage",
]

MEMORY = 32 << 20
"""Bytes of manifests, and of small blobs, that are kept in memory."""


def open_storage(
    root: str | os.PathLike[str],
    fs: Disk = OS,
    *,
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
    memory: int = MEMORY,
) -> Storage:
    """Open a registry's directory for one process; an empty or missing one becomes a registry.

    ``clock`` gives seconds since the epoch, ``random`` bytes that nobody can guess. Raises StoreError if
    another process has it open, or if it holds something else.
    """
    place = os.path.abspath(root)
    with translate_os_errors(place, REGISTRY):
        ownership.make_directories(os.path.dirname(place))
        if not os.path.isdir(place):
            fs.make_directory(place, ownership.PRIVATE_MODE)  # not everybody may read every repository
    _claim(place, fs)
    lock = files.FileLock(os.path.join(place, "lock"))
    lock.acquire(waiting=lambda: _refuse(place))
    try:
        with translate_os_errors(place, REGISTRY):
            _prepare(place, fs)
        return Storage(place, fs, lock, clock=clock, random=random, memory=memory)
    except BaseException:
        lock.release()
        raise


class Storage:
    """An open registry; any thread may call it, and what changes something waits for the disk.

    Names, tags and digests that are none raise FormatError. Whatever the disk refuses raises StoreError
    (DiskFull when there is no space). A context manager, or call `close`.
    """

    def __init__(
        self,
        root: str,
        fs: Disk,
        lock: files.FileLock,
        *,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        memory: int,
    ) -> None:
        """Use `open_storage`, which claims and prepares the directory."""
        self.root = root
        self._lock = lock
        folders = Folders(fs, root)
        ages = Ages(fs)
        self.blobs = Blobs(fs, root, folders, ages, clock, memory)
        self.manifests = Manifests(fs, root, folders, ages, clock, memory)
        self.uploads = Uploads(fs, root, folders, random)

    def close(self) -> None:
        """Let go of the directory; unfinished uploads go on when it is opened again."""
        self.uploads.close()
        self._lock.release()

    def __enter__(self) -> Storage:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def blob(self, repository: str, digest: str) -> StoredBlob | None:
        """Return a blob if this repository has it.

        A small one has its content along, checked when it came into memory. A large one is served from
        its file, which is not hashed again; `check.check` does that.
        """
        return self.blobs.find(repository, digest)

    def begin(self, repository: str, algorithm: str = "sha256") -> str:
        """Open an upload; return its id."""
        return self.uploads.begin(repository, algorithm)

    def offset(self, repository: str, upload: str) -> int | None:
        """Return how many bytes of an upload there are; None if there is no such upload here."""
        return self.uploads.offset(repository, upload)

    def open_upload(self, repository: str, upload: str) -> int:
        """Return a descriptor to read what an upload has so far, also once it is finished or forgotten.

        Raises UnknownUpload.
        """
        return self.uploads.open(repository, upload)

    def append(self, repository: str, upload: str, at: int, chunk: bytes) -> int:
        """Append to an upload; return its new offset. Raises OutOfOrder, UnknownUpload."""
        return self.uploads.append(repository, upload, at, chunk)

    def finish(self, repository: str, upload: str, digest: str) -> StoredBlob:
        """Make an upload a blob of its repository, durably. Raises DigestMismatch, UnknownUpload."""
        found: list[StoredBlob] = []

        def admit(path: str, size: int) -> None:
            found.append(self.blobs.admit(repository, digest, path, size))

        self.uploads.finish(repository, upload, digest, admit)
        return found[0]

    def cancel(self, repository: str, upload: str) -> bool:
        """Forget an upload; return False if there is none such."""
        return self.uploads.cancel(repository, upload)

    def mount(
        self,
        repository: str,
        digest: str,
        source: str | None,
        readable: Callable[[str], bool] = lambda _: True,
    ) -> bool:
        """Give a repository a blob that ``source`` has, or any repository that is ``readable``, durably."""
        candidates = (source,) if source is not None else self._walk()
        return self.blobs.mount(repository, digest, (name for name in candidates if readable(name)))

    def delete_blob(self, repository: str, digest: str) -> bool:
        """Take a blob from a repository, durably. Its content goes with the next collection."""
        return self.blobs.delete(repository, digest)

    def put_manifest(
        self,
        repository: str,
        digest: str,
        media_type: str,
        body: bytes,
        tags: Sequence[str],
        subject: str | None = None,
        referrer: bytes | None = None,
    ) -> None:
        """Store a manifest under ``digest``, which the caller computed, and point ``tags`` to it, durably.

        ``referrer`` is the descriptor that the referrers of ``subject`` then list.
        """
        manifest = StoredManifest(digest, media_type, body)
        self.manifests.put(repository, manifest, tags, subject, referrer)

    def manifest(self, repository: str, reference: str) -> StoredManifest | None:
        """Return a manifest by digest or tag, checked when it came into memory."""
        return self.manifests.find(repository, reference)

    def delete_manifest(self, repository: str, digest: str) -> bool:
        """Remove a manifest and all tags that point to it, durably."""
        return self.manifests.delete(repository, digest)

    def delete_tag(self, repository: str, tag: str) -> bool:
        """Remove a tag, durably; the manifest stays for now."""
        return self.manifests.untag(repository, tag)

    def tags(self, repository: str) -> Sequence[str] | None:
        """Return the tags in ASCII order; None if there is no such repository."""
        return self.manifests.tags(repository)

    def referrers(self, repository: str, subject: str) -> Sequence[bytes]:
        """Return the descriptors of what refers to ``subject``, which need not be there."""
        return self.manifests.referrers(repository, subject)

    def repositories(self) -> Sequence[str]:
        """Return the names of all repositories that have, or had, content; sorted."""
        return sorted(self._walk())

    def receiving(self) -> Sequence[str]:
        """Return the names of all repositories that have, or had, unfinished uploads; sorted."""
        return sorted(self._walk(names.UPLOADS))

    def _walk(self, kind: str = names.TAGS, above: str = "") -> Iterator[str]:
        try:
            found = sorted(os.listdir(os.path.join(self.root, "repositories", above)))
        except OSError:
            return
        if above and kind in found:
            yield above
        for name in found:
            inner = f"{above}/{name}" if above else name
            if not name.startswith("_") and _is_name(inner):
                yield from self._walk(kind, inner)


def _is_name(text: str) -> bool:
    try:
        names.repository(text)
    except FormatError:
        return False
    return True


def _refuse(place: str) -> None:
    raise StoreError(
        "another pumice serve uses this directory", where=place, hint="stop it, or choose another --root"
    )


def _claim(place: str, fs: Disk) -> None:
    """Make sure that a directory is a registry's, or make it one; raises StoreError."""
    marker = os.path.join(place, "layout")
    with translate_os_errors(place, REGISTRY):
        try:
            with open(marker, "rb", buffering=0) as file:
                found = file.read(len(names.LAYOUT) + 1)
        except FileNotFoundError:
            strangers = [name for name in os.listdir(place) if not name.startswith((".", "lost+found"))]
            if strangers and os.path.exists(marker):  # another process has just claimed it
                _claim(place, fs)
                return
            if strangers:
                raise StoreError(
                    "the directory is not empty and not a registry's",
                    where=place,
                    hint="choose another --root",
                ) from None
        else:
            if found == names.LAYOUT:
                return
            raise StoreError("the directory is another version's registry", where=place)
        scratch = os.path.join(place, f".layout.{files.scratch_name()}")
        files.install(scratch, marker, names.LAYOUT, fs=fs, mode=0o644)
        fs.sync_directory(place)
        fs.sync_directory(os.path.dirname(place))


def _prepare(place: str, fs: Disk) -> None:
    """Make what every registry has; remove what an earlier process had not finished."""
    folders = Folders(fs, place)
    folders.need(os.path.join(place, "blobs"))
    folders.need(os.path.join(place, "repositories"))
    scratch = os.path.join(place, "tmp")
    folders.need(scratch)
    for name in os.listdir(scratch):
        fs.unlink(os.path.join(scratch, name))
