"""What was found out before, by the digest of what it was found out from: the action cache.

Losing a record costs doing the work again and nothing else. So records are sealed and not synced,
and one that a crash damaged is no record.
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
from pumice.store.file_names import is_word

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.digest import Digest
    from pumice.store.directory_blobs import DirectoryBlobs

_DAY = 86_400
_keeps = msgspec.json.Decoder(tuple[str, ...])


class Record(msgspec.Struct, frozen=True):
    """A record as `Records.all` finds it; ``used`` is seconds since the epoch, to the day."""

    path: str
    keeps: tuple[str, ...]
    used: float
    size: int


class Records:
    """Values by kind and key, as the files ``records/<kind>/<hex>``."""

    def __init__(self, root: str, blobs: DirectoryBlobs, fs: files.FileSystem = files.OS) -> None:
        self._root = os.path.join(root, "records", "")
        self._scratch = os.path.join(root, "tmp", "")
        self._blobs = blobs
        self._fs = fs

    def get(self, kind: str, key: Digest) -> bytes | None:
        """Return what was put, None if there is nothing sound.

        The blobs that it speaks of may be gone; ask for their size before relying on them.
        """
        path = self._path(kind, key)
        try:
            with open(path, "rb", buffering=0) as file:
                # Its time says when it was last of use, to the day: writing each time would be waste.
                stale = os.fstat(file.fileno()).st_mtime < time.time() - _DAY
                data = file.readall()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise STORE.translate(error, path) from error
        if stale:
            _touch(path)
        content = sealed_files.unseal(data or b"")
        return None if content is None else content.partition(b"\n")[2]

    def put(self, kind: str, key: Digest, value: bytes, keeps: Sequence[Digest] = ()) -> None:
        """Remember ``value``; `gc` keeps the blobs ``keeps`` for as long as it keeps the record.

        Those blobs are durable before the record exists. Raises StoreError.
        """
        path = self._path(kind, key)
        if keeps:
            self._blobs.sync()
        data = sealed_files.seal(msgspec.json.encode([hex_of(digest) for digest in keeps]) + b"\n" + value)
        scratch = self._scratch + files.scratch_name()
        with translate_os_errors(path):
            self._make(os.path.dirname(path))
            files.install(scratch, path, data, fs=self._fs, sync=False)

    def all(self) -> Iterator[Record]:
        """Yield every record, sorted; one that is damaged keeps nothing and was never used."""
        for kind in _names(self._root):
            for name in _names(self._root + kind):
                path = os.path.join(self._root, kind, name)
                try:
                    status = os.stat(path)
                    with open(path, "rb") as file:
                        content = sealed_files.unseal(file.read())
                    keeps = _keeps.decode((content or b"").partition(b"\n")[0])
                    kept = tuple(from_hex(name) for name in keeps)
                except (OSError, msgspec.MsgspecError, FormatError):
                    yield Record(path, (), 0.0, 0)
                else:
                    yield Record(path, kept, status.st_mtime, status.st_size)

    def _path(self, kind: str, key: Digest) -> str:
        if not is_word(kind):
            raise ValueError(f"{kind!r} is no kind of record")
        return f"{self._root}{kind}/{hex_of(key)}"

    def _make(self, folder: str) -> None:
        if not os.path.isdir(folder):
            try:
                self._fs.make_directory(folder)
            except FileExistsError:
                pass


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _touch(path: str) -> None:
    try:
        os.utime(path)
    except OSError:
        pass  # a read-only store, or gone: it only looks older than it is
