"""Manifests, tags and referrers: small files of a repository, each one whole or not there.

A manifest's file is its media type, a line feed, and its bytes as they were pushed. A tag's file is a
digest. A referrer's file is the descriptor that the referrers API lists, in a folder named after the
subject; it counts only while its manifest is there.
"""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.errors import FormatError, StoreError
from pumice.os_errors import translate_os_errors
from pumice.registry.server.storage.disk import paths as names
from pumice.registry.server.storage.disk.blobs import REFRESH
from pumice.registry.server.storage.disk.cache import Cache
from pumice.registry.server.storage.disk.filesystem import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pumice.registry.server.storage.disk.filesystem import Ages, Disk, Folders


class StoredManifest(msgspec.Struct, frozen=True):
    """A manifest that is there: its digest, its media type, and its bytes."""

    digest: str
    media_type: str
    body: bytes


class _Seen(msgspec.Struct, frozen=True):
    manifest: StoredManifest
    fresh: float
    """Until when its file need not be made young again."""


class _Subject(msgspec.Struct):
    digest: str = ""


class _About(msgspec.Struct):
    subject: _Subject | None = None


class Manifests:
    """The manifests of all repositories; see `pumice.registry.server.storage.disk.storage.Storage`."""

    def __init__(
        self, fs: Disk, root: str, folders: Folders, ages: Ages, clock: Callable[[], float], memory: int
    ) -> None:
        self._fs = fs
        self._ages = ages
        self._root = root
        self._folders = folders
        self._clock = clock
        self._cache: Cache[_Seen] = Cache(memory)
        self._locks = tuple(threading.RLock() for _ in range(256))

    def lock(self, repository: str) -> threading.RLock:
        """Return the lock under which a repository's manifests and tags change."""
        return self._locks[zlib.crc32(repository.encode()) & 255]

    def put(
        self,
        repository: str,
        manifest: StoredManifest,
        tags: Sequence[str],
        subject: str | None,
        referrer: bytes | None,
    ) -> None:
        """Store a manifest and point tags to it, durably; see `Storage.put_manifest`."""
        if "\n" in manifest.media_type:
            raise FormatError("a media type has no line feed")
        file = names.file_of(manifest.digest)
        where = names.folder(self._root, repository)
        places = [os.path.join(where, names.TAGS, names.tag(tag)) for tag in tags]
        with translate_os_errors(f"{repository}@{manifest.digest}", REGISTRY):
            self._folders.need(where, *names.KINDS)
            with self.lock(repository):
                try:
                    if subject is not None and referrer is not None:
                        about = os.path.join(where, names.REFERRERS, names.file_of(subject))
                        self._folders.need(about)
                        self._write(os.path.join(about, file), referrer)
                        self._folders.sync(about)
                    document = manifest.media_type.encode() + b"\n" + manifest.body
                    self._write(os.path.join(where, names.MANIFESTS, file), document)
                    self._folders.sync(os.path.join(where, names.MANIFESTS))
                    for place in places:
                        self._write(place, manifest.digest.encode() + b"\n")
                    if places:
                        self._folders.sync(os.path.join(where, names.TAGS))
                finally:
                    self._cache.forget(repository, manifest.digest, *tags)

    def find(self, repository: str, reference: str) -> StoredManifest | None:
        """Return a manifest by tag or digest; raises StoreError if it is damaged."""
        seen = self._cache.get(repository, reference)
        if seen is not None and self._clock() < seen.fresh:
            return seen.manifest
        epoch = self._cache.epoch
        digest = reference if ":" in reference else self.tagged(repository, reference)
        found = None if digest is None else self._read(repository, digest)
        if found is None:
            return None
        self._cache.keep(repository, reference, found, len(found.manifest.body), epoch)
        return found.manifest

    def tagged(self, repository: str, tag: str) -> str | None:
        """Return the digest that a tag points to, from the disk."""
        text = _bytes(os.path.join(names.folder(self._root, repository, names.TAGS), names.tag(tag)))
        if text is None:
            return None
        digest = text.decode("ascii", "replace").strip()
        if not names.is_digest(digest):
            raise StoreError(f"the registry's tag {repository}:{tag} is damaged", hint="push it again")
        return digest

    def delete(self, repository: str, digest: str) -> bool:
        """Remove a manifest and all tags that point to it, durably."""
        path = self._path(repository, digest)
        with translate_os_errors(f"{repository}@{digest}", REGISTRY), self.lock(repository):
            if not os.path.exists(path):
                return False
            tags = [tag for tag in self.tags(repository) or () if self._points(repository, tag, digest)]
            try:
                for tag in tags:
                    self._unlink(os.path.join(names.folder(self._root, repository, names.TAGS), tag))
                if tags:
                    self._folders.sync(names.folder(self._root, repository, names.TAGS))
                self.remove(repository, [digest])
            finally:
                self._cache.forget(repository, digest, *tags)
        return True

    def remove(self, repository: str, digests: Iterable[str], since: float = float("inf")) -> list[str]:
        """Remove manifests that no tag points to, with one fsync, up to the first that is young by now.

        Return what is gone. The caller holds the lock.
        """
        descriptors: list[str] = []
        gone = []
        for digest in digests:
            path = self._path(repository, digest)
            subject = subject_of(_body(path))
            if not self._ages.remove_old(path, since):
                break
            gone.append(digest)
            if subject is not None:
                descriptors.append(os.path.join(self._about(repository, subject), names.file_of(digest)))
        if gone:
            self._cache.forget(repository, *gone)
            self._folders.sync(names.folder(self._root, repository, names.MANIFESTS))
        for path in descriptors:
            self._unlink(path)  # it counts no more without its manifest, so it needs no fsync
        return gone

    def untag(self, repository: str, tag: str) -> bool:
        """Remove a tag, durably."""
        folder = names.folder(self._root, repository, names.TAGS)
        path = os.path.join(folder, names.tag(tag))
        with translate_os_errors(f"{repository}:{tag}", REGISTRY), self.lock(repository):
            try:
                if not self._unlink(path):
                    return False
            finally:
                self._cache.forget(repository, tag)
            self._folders.sync(folder)
        return True

    def tags(self, repository: str) -> Sequence[str] | None:
        """Return a repository's tags in ASCII order; None if there is no such repository."""
        found = _names(names.folder(self._root, repository, names.TAGS))
        return None if found is None else sorted(name for name in found if names.is_tag(name))

    def digests(self, repository: str) -> Sequence[str]:
        """Return the digests of a repository's manifests, sorted."""
        return listed(names.folder(self._root, repository, names.MANIFESTS))

    def body(self, repository: str, digest: str) -> bytes:
        """Return the bytes of a manifest from the disk, as they are; empty if it is not there."""
        return _body(self._path(repository, digest))

    def lists(self, repository: str, subject: str, digest: str) -> bool:
        """Say whether a manifest is among what refers to ``subject``."""
        return os.path.exists(os.path.join(self._about(repository, subject), names.file_of(digest)))

    def referrers(self, repository: str, subject: str) -> Sequence[bytes]:
        """Return the descriptors of the manifests that refer to ``subject``, ordered by digest."""
        folder = self._about(repository, subject)
        found = []
        for digest in listed(folder):
            if os.path.exists(self._path(repository, digest)):
                descriptor = _bytes(os.path.join(folder, names.file_of(digest)))
                if descriptor is not None:
                    found.append(descriptor)
        return found

    def _read(self, repository: str, digest: str) -> _Seen | None:
        path = self._path(repository, digest)
        now = self._clock()
        try:
            changed = os.stat(path).st_mtime
        except OSError:
            return None
        document = _bytes(path)
        if document is None:
            return None
        if changed + REFRESH < now:
            changed = now
            if not self._ages.renew(path, now):
                return None
        media_type, line_feed, body = document.partition(b"\n")
        algorithm, _, hex_digits = digest.partition(":")
        if not line_feed or hashlib.new(algorithm, body).hexdigest() != hex_digits:
            raise StoreError(f"the registry's copy of {repository}@{digest} is damaged", hint="push it again")
        manifest = StoredManifest(digest, media_type.decode("utf-8", "replace"), body)
        return _Seen(manifest, changed + REFRESH)

    def _points(self, repository: str, tag: str, digest: str) -> bool:
        try:
            return self.tagged(repository, tag) == digest
        except StoreError:
            return False

    def _write(self, path: str, data: bytes) -> None:
        scratch = os.path.join(self._root, "tmp", files.scratch_name())
        files.install(scratch, path, data, fs=self._fs, mode=0o644)

    def _unlink(self, path: str) -> bool:
        try:
            self._fs.unlink(path)
        except FileNotFoundError:
            return False
        return True

    def _path(self, repository: str, digest: str) -> str:
        return os.path.join(names.folder(self._root, repository, names.MANIFESTS), names.file_of(digest))

    def _about(self, repository: str, subject: str) -> str:
        folder = names.folder(self._root, repository, names.REFERRERS)
        return os.path.join(folder, names.file_of(subject))


def listed(folder: str) -> list[str]:
    """Return the digests after which files of a folder are named, sorted; none if it is not there."""
    return sorted(d for name in _names(folder) or () if (d := names.digest_of(name)) is not None)


def subject_of(body: bytes) -> str | None:
    """Return the digest that a manifest is about, if it is about one that can be stored."""
    try:
        about = msgspec.json.decode(body, type=_About)
    except (msgspec.MsgspecError, RecursionError):
        return None
    if about.subject is None or not names.is_digest(about.subject.digest):
        return None
    return about.subject.digest


def _body(path: str) -> bytes:
    return (_bytes(path) or b"").partition(b"\n")[2]


def _bytes(path: str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError("the registry's disk failed to read", where=path) from error


def _names(folder: str) -> list[str] | None:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError("the registry's disk failed to read", where=folder) from error
