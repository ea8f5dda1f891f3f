"""Cache the stamps of hashed files in an image layout, so that unchanged files need no hashing again.

A file counts as unchanged while its stamp (`pumice.files.file_stamp`) is the same and the machine has not
been restarted: other programs write layouts without fsync, so a crash can lose content without changing
the stamp. The store's own cache (`pumice.store.stat_cache`) has no such condition, because the store
syncs every blob before naming it; it is also shared by concurrent writers, which a layout is not.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from pumice import digest
from pumice.decoding import decode_json
from pumice.errors import StoreError
from pumice.files import FileStamp, file_stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.digest import Digest

_KIND = "layout"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # absent outside Linux: then nothing is checked


class Records(Protocol):
    """A cache of small derived values (``Home.records``)."""

    def get(self, kind: str, key: Digest) -> bytes | None:
        """Return the cached value, None if there is none."""

    def put(self, kind: str, key: Digest, value: bytes, kept_blobs: Sequence[Digest] = ()) -> None:
        """Cache a value."""


class _SavedStamps(msgspec.Struct, frozen=True):
    boot: str
    stamps: dict[str, FileStamp]


class LayoutStatCache:
    """The stamps of the files of one directory."""

    def __init__(self, folder: Path, records: Records | None) -> None:
        self._key = digest.of(os.fsencode(folder.resolve()))
        self._records = records
        self._boot = read_boot_id()
        self._saved = self._load()
        self._current: dict[str, FileStamp] = {}

    def _load(self) -> dict[str, FileStamp]:
        data = None if self._records is None else self._records.get(_KIND, self._key)
        if data is None:
            return {}
        try:
            saved_stamps = decode_json(data, _SavedStamps)
        except (msgspec.MsgspecError, ValueError):
            return {}
        return saved_stamps.stamps if saved_stamps.boot == self._boot else {}

    def is_unchanged(self, name: str, status: os.stat_result) -> bool:
        """Return whether the file ``name`` has the stamp that `record` saved for it."""
        stamp = self._saved.get(name)
        if stamp is None or stamp != file_stamp(status):
            return False
        self._current[name] = stamp
        return True

    def record(self, name: str, status: os.stat_result) -> None:
        """Record that the file ``name``, while it has this ``status``, has the right content."""
        self._current[name] = file_stamp(status)

    def save(self) -> None:
        """Save the stamps; failures are ignored, because the stamps only save time."""
        if self._records is None or self._current == self._saved:
            return
        encoded = msgspec.json.encode(_SavedStamps(self._boot, dict(sorted(self._current.items()))))
        try:
            self._records.put(_KIND, self._key, encoded)
        except (StoreError, OSError):
            return


def read_boot_id() -> str:
    """Return the id of this boot, "" if it is unknown."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
