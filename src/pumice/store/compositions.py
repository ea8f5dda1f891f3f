"""Blobs that are stored as parts: the files ``composed/<hex>``, each with the list of the parts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.decoding import decode_json
from pumice.digest import hex_of
from pumice.os_errors import STORE, translate_os_errors
from pumice.store import sealed_files

if TYPE_CHECKING:
    from pumice.digest import Digest

_MAX_LIST = 1 << 20


class Composition(msgspec.Struct, frozen=True):
    """The parts of a blob: the blobs that it is the concatenation of, with their sizes in bytes."""

    parts: tuple[str, ...]
    sizes: tuple[int, ...]

    @property
    def size(self) -> int:
        """The size of the whole blob in bytes."""
        return sum(self.sizes)

    def parts_with_sizes(self) -> zip[tuple[str, int]]:
        """Return each part with its size."""
        return zip(self.parts, self.sizes, strict=True)


class Compositions:
    """The lists of parts in a store."""

    def __init__(self, root: str, fs: files.FileSystem) -> None:
        """``root`` has the directories ``composed`` and ``tmp``."""
        self.directory = os.path.join(root, "composed", "")
        self._scratch = os.path.join(root, "tmp", "")
        self._fs = fs

    def get(self, digest: Digest) -> Composition | None:
        """Return the parts of a blob, None if it is not composed or the list is damaged."""
        try:
            with open(self.directory + hex_of(digest), "rb", buffering=0) as file:
                data = file.read(_MAX_LIST)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise STORE.translate(error, self.directory) from error
        content = sealed_files.unseal(data)
        return None if content is None else decode_json(content, Composition)

    def put(self, digest: Digest, composition: Composition) -> bool:
        """Write the list of a blob, which ``directory`` names durably after a sync; return if it is new."""
        data = sealed_files.seal(msgspec.json.encode(composition))
        target = self.directory + hex_of(digest)
        is_new = not os.path.exists(target)
        with translate_os_errors(target):
            files.install(self._scratch + files.scratch_name(), target, data, fs=self._fs, mode=0o444)
        return is_new
