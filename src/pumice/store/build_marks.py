"""Marks for the manifests and indexes that were built in this store: the files ``built/<hex>``.

An image that was built here needs no signature to be run here: whoever can forge a mark can also forge
the image's files. Checking a mark costs one look-up and imports nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice import files
from pumice.digest import hex_of
from pumice.os_errors import translate_os_errors

if TYPE_CHECKING:
    from pumice.digest import Digest


class BuildMarks:
    """The build marks of a store."""

    def __init__(self, root: str, fs: files.FileSystem = files.OS) -> None:
        self._root = os.path.join(root, "built", "")
        self._fs = fs

    def has(self, digest: Digest) -> bool:
        """Return whether a manifest or index was built here."""
        return os.path.exists(self._root + hex_of(digest))

    def add(self, digest: Digest) -> None:
        """Mark a manifest or index as built here; not synced, because the next build marks it again."""
        if self.has(digest):
            return
        path = self._root + hex_of(digest)
        with translate_os_errors(path):
            if not os.path.isdir(self._root):
                try:
                    self._fs.make_directory(self._root)
                except FileExistsError:
                    pass
            try:
                self._fs.create(path).close()
            except FileExistsError:
                pass

    def forget(self, digest: Digest) -> None:
        """Remove a mark, if there is one."""
        files.unlink_quietly(self._root + hex_of(digest), self._fs)
