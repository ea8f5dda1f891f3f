"""What refers to an image: its evidence and signatures, by the digest of what they are about.

Unlike a record, a signature cannot be made again by doing the work again: so these lists are durable,
and `gc` keeps what they name for as long as it keeps what they are about.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice import files
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
MOST = 4096
"""Referrers that one subject may have: what `Image` is willing to look through."""


class Referrers:
    """Lists of descriptors by subject, as the files ``referrers/<hex>``."""

    def __init__(self, root: str, blobs: DirectoryBlobs, fs: files.FileSystem = files.OS) -> None:
        self._root = os.path.join(root, _FOLDER, "")
        self._lock_path = os.path.join(root, "locks", _LOCK)
        self._scratch = os.path.join(root, "tmp", "")
        self._blobs = blobs
        self._fs = fs

    def get(self, subject: Digest) -> tuple[Descriptor, ...]:
        """Return the descriptors of the manifests whose ``subject`` it is; StoreError if damaged."""
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
            return msgspec.json.decode(content or b"", type=tuple[Descriptor, ...])
        except msgspec.MsgspecError:
            raise StoreError(
                "the store's list of an image's evidence and signatures is damaged",
                where=path,
                hint="remove the file, and build or fetch the image again",
            ) from None

    def add(
        self,
        subject: Digest,
        referrers: Sequence[Descriptor],
        *,
        instead_of: Callable[[Descriptor], bool] | None = None,
    ) -> None:
        """Let ``referrers`` be about ``subject`` as well, durably; their blobs are in the store.

        Those there already of which ``instead_of`` says so are forgotten: an image has one bill of
        materials of a kind from its build, but any number of signatures.
        """
        if self._with(self.get(subject), referrers, instead_of) is None:
            return  # as in every warm build: nothing to lock, nothing to write
        with files.FileLock(self._lock_path):
            found = self._with(self.get(subject), referrers, instead_of)
            if found is not None:
                self._put(subject, found)

    @staticmethod
    def _with(
        known: tuple[Descriptor, ...],
        more: Sequence[Descriptor],
        instead_of: Callable[[Descriptor], bool] | None,
    ) -> tuple[Descriptor, ...] | None:
        """Return the new list, None if it is the old one."""
        kept = {one.digest: one for one in known if instead_of is None or not instead_of(one)}
        kept |= {one.digest: one for one in more}
        found = tuple(kept[digest] for digest in sorted(kept))
        if len(found) > MOST:
            raise StoreError(f"more than {MOST} documents are about one image", hint="remove some of them")
        return found if found != known else None

    def remove(self, subject: Digest, referrers: Iterable[Digest]) -> None:
        """Forget some of what is about ``subject``; its blobs stay until `gc`."""
        gone = set(referrers)
        with files.FileLock(self._lock_path):
            known = self.get(subject)
            kept = tuple(one for one in known if one.digest not in gone)
            if kept != known:
                self._put(subject, kept)

    def subjects(self) -> Iterator[Digest]:
        """Yield everything that something is about, sorted."""
        try:
            names = sorted(os.listdir(self._root))
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in names:
            try:
                yield from_hex(name)
            except FormatError:
                continue  # what a killed process left

    def forget(self, subject: Digest) -> None:
        """Forget all that is about ``subject``: for `gc`, once the subject is gone."""
        with translate_os_errors(self._root):
            try:
                self._fs.unlink(self._path(subject))
            except FileNotFoundError:
                pass

    def _put(self, subject: Digest, found: tuple[Descriptor, ...]) -> None:
        self._blobs.sync(everything=True)
        path = self._path(subject)
        with translate_os_errors(path):
            if not os.path.isdir(self._root):
                try:
                    self._fs.make_directory(self._root)
                except FileExistsError:
                    pass
                self._fs.sync_directory(os.path.dirname(self._root.rstrip("/")))
            data = sealed_files.seal(msgspec.json.encode(found) + b"\n")
            files.install(self._scratch + files.scratch_name(), path, data, fs=self._fs)
            self._fs.sync_directory(self._root)

    def _path(self, subject: Digest) -> str:
        return self._root + hex_of(subject)
