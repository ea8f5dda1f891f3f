"""Marks for images that came from an archive of another format: the files ``archives/<hex>``.

Such an image is converted when it enters the store, so neither its image ID nor a signature, which cover the
bytes of the archive, can be verified again; annotations of the image only claim them. The mark has the ID,
the sizes of the files, and the keys that had signed; whether they are trusted, for the name that the image
declares, is decided each time. Whoever can forge a mark can also forge the image's files.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.decoding import decode_json
from pumice.digest import hex_of
from pumice.os_errors import translate_os_errors

if TYPE_CHECKING:
    from pumice.digest import Digest

_MAX_FILE = 1 << 16
_MAX_SIZES = 8


class ArchiveSigner(msgspec.Struct, frozen=True):
    """A key that had signed the archive: its fingerprint, and when, in seconds since the epoch."""

    fingerprint: str
    created: int = 0


class ArchiveMark(msgspec.Struct, frozen=True, kw_only=True):
    """Where an image came from: ``image_id`` is that of the archive, ``url`` is "" for a local file.

    ``sizes`` are those of the files in bytes, the last one first: files of one image can be compressed
    differently.
    """

    image_id: str
    url: str = ""
    sizes: tuple[int, ...] = ()
    signers: tuple[ArchiveSigner, ...] = ()


class ArchiveMarks:
    """The marks of a store."""

    def __init__(self, root: str, fs: files.FileSystem = files.OS) -> None:
        self._root = os.path.join(root, "archives", "")
        self._lock_path = os.path.join(root, "locks", "archives")
        self._fs = fs

    def get(self, digest: Digest) -> ArchiveMark | None:
        """Return the mark of a manifest, None if it has none that can be read."""
        try:
            with open(self._root + hex_of(digest), "rb") as file:
                return decode_json(file.read(_MAX_FILE), ArchiveMark)
        except (OSError, msgspec.MsgspecError):
            return None

    def add(self, digest: Digest, mark: ArchiveMark) -> None:
        """Add what is known about a manifest to its mark, durably; raises StoreError."""
        present = self.get(digest)
        if _merge(mark, present) == present:
            return
        with translate_os_errors(self._root):
            if not os.path.isdir(self._root):
                try:
                    self._fs.make_directory(self._root)
                except FileExistsError:
                    pass
        with files.FileLock(self._lock_path):  # or the signers that another command adds could be lost
            merged = _merge(mark, self.get(digest))
            files.replace(self._root + hex_of(digest), msgspec.json.encode(merged) + b"\n", fs=self._fs)

    def forget(self, digest: Digest) -> None:
        """Remove a mark, if there is one."""
        files.unlink_quietly(self._root + hex_of(digest), self._fs)


def _merge(mark: ArchiveMark, previous: ArchiveMark | None) -> ArchiveMark:
    """Return a mark with what a previous one of the same image has besides."""
    if previous is None or previous.image_id != mark.image_id:
        return mark
    return ArchiveMark(
        image_id=mark.image_id,
        url=mark.url or previous.url,
        sizes=tuple(dict.fromkeys((*mark.sizes, *previous.sizes)))[:_MAX_SIZES],
        signers=mark.signers or previous.signers,
    )
