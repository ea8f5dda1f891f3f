"""References: ``name:version`` to the descriptor of a manifest or index."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.decoding import decode_json
from pumice.errors import StoreError
from pumice.formats.oci import Descriptor
from pumice.os_errors import STORE, translate_os_errors
from pumice.store import sealed_files
from pumice.store.file_names import decode_reference, encode_reference

if TYPE_CHECKING:
    from pumice.store.directory_blobs import DirectoryBlobs


class Refs:
    """The references of a store, one file each: ``refs/<encoded name>``."""

    def __init__(self, root: str, blobs: DirectoryBlobs, fs: files.FileSystem = files.OS) -> None:
        self._root = os.path.join(root, "refs", "")
        self._scratch = os.path.join(root, "tmp", "")
        self._blobs = blobs
        self._fs = fs

    def get(self, name: str) -> Descriptor | None:
        """Return the descriptor that ``name`` refers to, None if there is none.

        Raises StoreError if the reference is damaged.
        """
        path = self._path(name)
        try:
            with open(path, "rb", buffering=0) as file:
                data = file.readall()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise STORE.translate(error, path) from error
        content = sealed_files.unseal(data or b"")
        try:
            return decode_json(content or b"", Descriptor)
        except msgspec.MsgspecError:
            raise StoreError(
                f"the store's reference {name} is damaged",
                where=path,
                hint=f"remove it with 'pumice rm {name}'",
            ) from None

    def set(self, name: str, descriptor: Descriptor) -> None:
        """Make ``name`` refer to ``descriptor``, durably and atomically; syncs the blobs first."""
        path = self._path(name)
        self._blobs.sync(everything=True)
        data = sealed_files.seal(msgspec.json.encode(descriptor) + b"\n")
        with translate_os_errors(path):
            files.install(self._scratch + files.scratch_name(), path, data, fs=self._fs)
            self._fs.sync_directory(self._root)

    def remove(self, name: str) -> bool:
        """Remove the reference ``name``; return whether it existed. Its blobs stay until collected."""
        path = self._path(name)
        try:
            self._fs.unlink(path)
            self._fs.sync_directory(self._root)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise STORE.translate(error, path) from error
        return True

    def names(self) -> list[str]:
        """Return every name, sorted."""
        with translate_os_errors(self._root):
            return sorted(name for file in os.listdir(self._root) if (name := decode_reference(file)))

    def all(self) -> dict[str, Descriptor]:
        """Return every name with its descriptor, sorted; raises StoreError if one is damaged."""
        references = ((name, self.get(name)) for name in self.names())
        return {name: descriptor for name, descriptor in references if descriptor is not None}

    def _path(self, name: str) -> str:
        return self._root + encode_reference(name)
