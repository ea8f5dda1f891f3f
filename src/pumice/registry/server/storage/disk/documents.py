"""Small files that are read and replaced as a whole: manifests, tags and referrers."""

from __future__ import annotations

import os

from pumice import files
from pumice.errors import StoreError
from pumice.registry.server.storage.disk import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.registry.server.storage.disk.filesystem import Disk


class DocumentWriter:
    """Writes and removes small files below a registry's directory."""

    def __init__(self, fs: Disk, root: str) -> None:
        self._fs = fs
        self._root = root

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file atomically, with durable content; raises OSError."""
        scratch = os.path.join(self._root, "tmp", files.scratch_name())
        files.install(scratch, path, data, fs=self._fs, mode=0o644)

    def remove(self, path: str) -> bool:
        """Remove a file; return False if it does not exist. Raises OSError."""
        try:
            self._fs.unlink(path)
        except FileNotFoundError:
            return False
        return True


def read_document(path: str) -> bytes | None:
    """Return the content of a file; None if it does not exist. Raises StoreError."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError("cannot read the registry's disk", where=path) from error


def list_names(directory: str) -> list[str] | None:
    """Return the names of all files in a directory; None if it does not exist. Raises StoreError."""
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError("cannot read the registry's disk", where=directory) from error


def list_digests(directory: str) -> list[str]:
    """Return the digests that files in a directory are named after, sorted; none if it does not exist."""
    digests = (paths.digest_of_file_name(name) for name in list_names(directory) or ())
    return sorted(digest for digest in digests if digest is not None)
