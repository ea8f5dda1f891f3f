"""What is remembered of files that were hashed, so that unchanged ones need no hashing again.

A file is taken for unchanged while its inode, size, mtime and ctime are as they were and the
machine has not been restarted since: a crash can lose written bytes without a trace in these.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from pumice import digest
from pumice.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.digest import Digest

_KIND = "layout"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # absent outside Linux: then nothing is checked

Stamp = tuple[int, int, int, int]


class Records(Protocol):
    """Where small derived facts are kept (``Home.records``)."""

    def get(self, kind: str, key: Digest) -> bytes | None:
        """Return what was put, None if it is gone."""

    def put(self, kind: str, key: Digest, value: bytes, keeps: Sequence[Digest] = ()) -> None:
        """Keep a value."""


class _Page(msgspec.Struct, frozen=True):
    boot: str
    stamps: dict[str, Stamp]


class Stamps:
    """The stamps of one folder's files."""

    def __init__(self, folder: Path, records: Records | None) -> None:
        self._key = digest.of(os.fsencode(folder.resolve()))
        self._records = records
        self._boot = _boot()
        self._before = self._load()
        self._now: dict[str, Stamp] = {}

    def _load(self) -> dict[str, Stamp]:
        data = None if self._records is None else self._records.get(_KIND, self._key)
        if data is None:
            return {}
        try:
            page = msgspec.json.decode(data, type=_Page)
        except (msgspec.MsgspecError, ValueError):
            return {}
        return page.stamps if page.boot == self._boot else {}

    def knows(self, name: str, found: os.stat_result) -> bool:
        """Whether the file called ``name`` is as it was when `remember` was told of it."""
        stamp = self._before.get(name)
        if stamp is None or stamp != _stamp(found):
            return False
        self._now[name] = stamp
        return True

    def remember(self, name: str, found: os.stat_result) -> None:
        """Note that the content of ``name`` is right while its status is ``found``."""
        self._now[name] = _stamp(found)

    def keep(self) -> None:
        """Make the notes last. Not being able to is no failure: they only save time."""
        if self._records is None or self._now == self._before:
            return
        page = msgspec.json.encode(_Page(self._boot, dict(sorted(self._now.items()))))
        try:
            self._records.put(_KIND, self._key, page)
        except (StoreError, OSError):
            return


def _stamp(found: os.stat_result) -> Stamp:
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
