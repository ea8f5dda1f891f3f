"""Referrers: the evidence and signatures of an image, by the digest of their subject.

Unlike a record, a signature cannot be recreated by doing the work again. So these lists are durable, and
the collector keeps referrers for as long as it keeps their subject.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.decoding import decode_json
from pumice.digest import from_hex, hex_of
from pumice.errors import FormatError, StoreError
from pumice.formats.oci import Descriptor
from pumice.os_errors import STORE, translate_os_errors
from pumice.store import sealed_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pumice.digest import Digest
    from pumice.store.directory_blobs import DirectoryBlobs

_FOLDER = "referrers"
_LOCK = "referrers"
MAX_REFERRERS = 4096
"""The most referrers that one subject may have, which is also what `Image` reads."""


class Referrers:
    """Lists of descriptors by subject: the files ``referrers/<hex>``."""

    def __init__(self, root: str, blobs: DirectoryBlobs, fs: files.FileSystem = files.OS) -> None:
        self._root = os.path.join(root, _FOLDER, "")
        self._lock_path = os.path.join(root, "locks", _LOCK)
        self._scratch = os.path.join(root, "tmp", "")
        self._blobs = blobs
        self._fs = fs

    def get(self, subject: Digest) -> tuple[Descriptor, ...]:
        """Return the descriptors of the manifests that refer to ``subject``.

        Raises StoreError if the list is damaged.
        """
        path = self._path(subject)
        try:
            with open(path, "rb", buffering=0) as file:
                data = file.readall()
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise STORE.translate(error, path) from error
        content = sealed_files.unseal(data or b"")
        try:
            return decode_json(content or b"", tuple[Descriptor, ...])
        except msgspec.MsgspecError:
            raise StoreError(
                "the store's list of referrers of an image is damaged",
                where=path,
                hint="remove the file, and build or fetch the image again",
            ) from None

    def add(
        self,
        subject: Digest,
        referrers: Sequence[Descriptor],
        *,
        is_replaced: Callable[[Descriptor], bool] | None = None,
    ) -> None:
        """Add ``referrers`` to the list of ``subject``, durably; their blobs are in the store.

        Existing ones for which ``is_replaced`` returns True are removed: a build attaches one SBOM of each
        format, but an image can have any number of signatures. Raises StoreError.
        """
        if self._merge(self.get(subject), referrers, is_replaced) is None:
            return  # as in every warm build: there is nothing to lock or write
        with files.FileLock(self._lock_path):
            updated = self._merge(self.get(subject), referrers, is_replaced)
            if updated is not None:
                self._put(subject, updated)

    @staticmethod
    def _merge(
        current: tuple[Descriptor, ...],
        additions: Sequence[Descriptor],
        is_replaced: Callable[[Descriptor], bool] | None,
    ) -> tuple[Descriptor, ...] | None:
        """Return the new list, None if it equals the current one."""
        descriptors = {
            descriptor.digest: descriptor
            for descriptor in current
            if is_replaced is None or not is_replaced(descriptor)
        }
        descriptors |= {addition.digest: addition for addition in additions}
        merged = tuple(descriptors[digest] for digest in sorted(descriptors))
        if len(merged) > MAX_REFERRERS:
            raise StoreError(
                f"an image cannot have more than {MAX_REFERRERS} referrers", hint="remove some of them"
            )
        return merged if merged != current else None

    def remove(self, subject: Digest, referrers: Iterable[Digest]) -> None:
        """Remove some referrers of ``subject``; their blobs stay until collected."""
        removed_digests = set(referrers)
        with files.FileLock(self._lock_path):
            current = self.get(subject)
            remaining = tuple(
                descriptor for descriptor in current if descriptor.digest not in removed_digests
            )
            if remaining != current:
                self._put(subject, remaining)

    def subjects(self) -> Iterator[Digest]:
        """Yield the digest of every subject, sorted."""
        try:
            names = sorted(os.listdir(self._root))
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in names:
            try:
                yield from_hex(name)
            except FormatError:
                continue  # a temporary file of a killed process

    def forget(self, subject: Digest) -> None:
        """Remove the list of ``subject``: for the collector, once the subject is gone."""
        with translate_os_errors(self._root):
            try:
                self._fs.unlink(self._path(subject))
            except FileNotFoundError:
                pass

    def _put(self, subject: Digest, descriptors: tuple[Descriptor, ...]) -> None:
        self._blobs.sync(everything=True)
        path = self._path(subject)
        with translate_os_errors(path):
            if not os.path.isdir(self._root):
                try:
                    self._fs.make_directory(self._root)
                except FileExistsError:
                    pass
                self._fs.sync_directory(os.path.dirname(self._root.rstrip("/")))
            data = sealed_files.seal(msgspec.json.encode(descriptors) + b"\n")
            files.install(self._scratch + files.scratch_name(), path, data, fs=self._fs)
            self._fs.sync_directory(self._root)

    def _path(self, subject: Digest) -> str:
        return self._root + hex_of(subject)
