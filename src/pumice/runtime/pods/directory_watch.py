"""Waiting for changes of the directories of pods (inotify(7))."""

from __future__ import annotations

import ctypes
import os
import select
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# sys/inotify.h
_IN_MOVED_FROM, _IN_MOVED_TO, _IN_CREATE, _IN_DELETE, _IN_ONLYDIR = 0x40, 0x80, 0x100, 0x200, 0x1000000
_CHANGES = _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE | _IN_ONLYDIR
_libc = ctypes.CDLL(None, use_errno=True)


class DirectoryWatch:
    """Directories whose changes are waited for; without inotify, `wait` only waits."""

    def __init__(self) -> None:
        self._descriptor = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        self._watched: set[str] = set()

    def add(self, paths: Iterable[Path]) -> None:
        """Watch these directories as well; one that is gone is left out."""
        for path in map(str, paths):
            if path not in self._watched and self._descriptor >= 0:
                _libc.inotify_add_watch(self._descriptor, os.fsencode(path), ctypes.c_uint32(_CHANGES))
                self._watched.add(path)

    def wait(self, seconds: float) -> None:
        """Wait for a change, at most ``seconds``, and forget what has changed."""
        if self._descriptor < 0:
            select.select([], [], [], min(seconds, 1.0))
            return
        select.select([self._descriptor], [], [], seconds)
        with suppress(BlockingIOError):
            while os.read(self._descriptor, 1 << 16):
                pass

    def close(self) -> None:
        """Close the descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
