"""The action cache: results of earlier work, by the digest of their inputs.

Losing a record only costs doing the work again. So records have checksums and are not synced, and a
record that a crash damaged counts as missing.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.digest import from_hex, hex_of
from pumice.errors import FormatError
from pumice.os_errors import STORE, translate_os_errors
from pumice.store import sealed_files
from pumice.store.file_names import is_plain_word

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.digest import Digest
    from pumice.store.directory_blobs import DirectoryBlobs

_DAY = 86_400
_kept_blobs = msgspec.json.Decoder(tuple[str, ...])


class Record(msgspec.Struct, frozen=True):
    """A record of `Records.all`; ``last_used`` is in seconds since the epoch, to the day."""

    path: str
    kept_blobs: tuple[str, ...]
    last_used: float
    size: int


class Records:
    """Cached values by kind and key: the files ``records/<kind>/<hex>``."""

    def __init__(self, root: str, blobs: DirectoryBlobs, fs: files.FileSystem = files.OS) -> None:
        self._root = os.path.join(root, "records", "")
        self._scratch = os.path.join(root, "tmp", "")
        self._blobs = blobs
        self._fs = fs

    def get(self, kind: str, key: Digest) -> bytes | None:
        """Return the cached value, None if there is no intact one.

        The blobs that it names may be gone; check their sizes before relying on them.
        """
        path = self._path(kind, key)
        try:
            with open(path, "rb", buffering=0) as file:
                # The mtime is the last use, to the day: updating it each time would be wasteful.
                needs_touch = os.fstat(file.fileno()).st_mtime < time.time() - _DAY
                data = file.readall()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise STORE.translate(error, path) from error
        if needs_touch:
            _touch(path)
        content = sealed_files.unseal(data or b"")
        return None if content is None else content.partition(b"\n")[2]

    def put(self, kind: str, key: Digest, value: bytes, kept_blobs: Sequence[Digest] = ()) -> None:
        """Cache ``value``; ``kept_blobs`` stay in the store for as long as the record.

        They are durable before the record exists. Raises StoreError.
        """
        path = self._path(kind, key)
        if kept_blobs:
            self._blobs.sync()
        data = sealed_files.seal(
            msgspec.json.encode([hex_of(digest) for digest in kept_blobs]) + b"\n" + value
        )
        scratch = self._scratch + files.scratch_name()
        with translate_os_errors(path):
            self._make_directory(os.path.dirname(path))
            files.install(scratch, path, data, fs=self._fs, sync=False)

    def all(self) -> Iterator[Record]:
        """Yield every record, sorted; a damaged record keeps no blobs and has the size and last use 0."""
        for kind in _list_names(self._root):
            for name in _list_names(self._root + kind):
                path = os.path.join(self._root, kind, name)
                try:
                    status = os.stat(path)
                    with open(path, "rb") as file:
                        content = sealed_files.unseal(file.read())
                    hex_digits = _kept_blobs.decode((content or b"").partition(b"\n")[0])
                    kept_blobs = tuple(from_hex(name) for name in hex_digits)
                except (OSError, msgspec.MsgspecError, FormatError):
                    yield Record(path, (), 0.0, 0)
                else:
                    yield Record(path, kept_blobs, status.st_mtime, status.st_size)

    def _path(self, kind: str, key: Digest) -> str:
        if not is_plain_word(kind):
            raise ValueError(f"{kind!r} is not a kind of record")
        return f"{self._root}{kind}/{hex_of(key)}"

    def _make_directory(self, folder: str) -> None:
        if not os.path.isdir(folder):
            try:
                self._fs.make_directory(folder)
            except FileExistsError:
                pass


def _list_names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _touch(path: str) -> None:
    try:
        os.utime(path)
    except OSError:
        pass  # a read-only store, or the record is gone: it only seems older than it is
