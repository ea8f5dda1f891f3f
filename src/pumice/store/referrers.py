"""What is attached to an image: signatures, attestations and other artifacts, by the image's digest.

One small file for each subject, ``referrers/<hex>``, with the descriptors of the manifests that have
it as their ``subject`` (image-spec 1.1, manifest.md). `gc` keeps them as long as their subject.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.digest import from_hex, hex_of
from pumice.errors import FormatError, StoreError
from pumice.formats.oci import Descriptor
from pumice.store import sealed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.digest import Digest
    from pumice.store.directory import DirectoryBlobs

MAX_REFERRERS = 1000
"""Of one subject: whoever attaches more wants to keep us busy."""
_decoder = msgspec.json.Decoder(tuple[Descriptor, ...])


class Referrers:
    """The referrers of a store's images."""

    def __init__(self, root: str, blobs: DirectoryBlobs, fs: files.FileSystem = files.OS) -> None:
        self._root = os.path.join(root, "referrers", "")
        self._scratch = os.path.join(root, "tmp", "")
        self._blobs = blobs
        self._fs = fs

    def of(self, subject: Digest) -> tuple[Descriptor, ...]:
        """Return the descriptors of what refers to ``subject``; StoreError if the list is damaged."""
        path = self._root + hex_of(subject)
        try:
            with open(path, "rb", buffering=0) as file:
                data = file.readall()
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise files.trouble(error, path) from error
        content = sealed.unseal(data or b"")
        try:
            return _decoder.decode(content or b"")
        except msgspec.MsgspecError:
            raise StoreError(
                "the store's list of what is attached to an image is damaged",
                where=path,
                hint="remove the file, and sign or fetch the image again",
            ) from None

    def set(self, subject: Digest, referrers: Iterable[Descriptor]) -> None:
        """Let these and no others refer to ``subject``, durably; their blobs are durable first.

        Callers who add to the list hold the store's lock ``referrers`` around reading and this.
        """
        path = self._root + hex_of(subject)
        unique = {descriptor.digest: descriptor for descriptor in referrers}
        if len(unique) > MAX_REFERRERS:
            raise StoreError(f"more than {MAX_REFERRERS} things would refer to one image", where=subject)
        self._blobs.sync(everything=True)
        data = sealed.seal(msgspec.json.encode(list(unique.values())) + b"\n")
        with files.told(path):
            if not os.path.isdir(self._root):
                try:
                    self._fs.make_directory(self._root)
                except FileExistsError:
                    pass
                self._fs.sync_directory(os.path.dirname(os.path.dirname(self._root)))
            files.install(self._scratch + files.scratch_name(), path, data, fs=self._fs)
            self._fs.sync_directory(self._root)

    def remove(self, subject: Digest) -> None:
        """Forget what refers to ``subject``; its blobs stay until `gc`."""
        files.forget(self._root + hex_of(subject), self._fs)

    def subjects(self) -> list[Digest]:
        """Return every digest that something refers to, sorted."""
        found = []
        for name in _names(self._root):
            try:
                found.append(from_hex(name))
            except FormatError:
                pass  # not ours
        return found


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
