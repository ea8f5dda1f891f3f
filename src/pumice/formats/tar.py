"""Tar headers: one canonical way to write an entry, one strict way to read a stream of them.

Written: POSIX ustar where the entry fits, and PAX records (POSIX.1-2008, pax "extended header")
for what does not: long or non-ASCII names, extended attributes, big numbers. Read: ustar, GNU long
names and PAX. Refused: sparse files, PAX global headers, paths that leave the root.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["file", "dir", "symlink", "hardlink", "char", "block", "fifo"]


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One member of an archive.

    ``path`` is relative, ``/``-separated, without ``./`` or a final ``/``; the root is ``""``.
    ``mode`` holds the twelve permission bits, ``mtime`` whole seconds since the epoch, ``size``
    bytes (files only), ``link`` a symlink's text or a hard link's target path (in the same form as
    ``path``), ``xattrs`` raw values by full name (``security.capability``).
    """

    path: str
    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    link: str = ""
    xattrs: dict[str, bytes] = {}
    device: tuple[int, int] = (0, 0)
