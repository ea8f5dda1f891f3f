"""The archive format of an initramfs: newc (Linux, driver-api/early-userspace/buffer-format)."""

from __future__ import annotations

import msgspec

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"
_MAX_SIZE = (1 << 32) - 1


class Entry(msgspec.Struct, frozen=True):
    """A file of an archive; ``mode`` includes its type, ``number`` is equal for hard links only.

    ``path`` has no leading slash. ``device`` is the major and minor number of a node.
    """

    path: str
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    number: int = 0
    links: int = 1
    device: tuple[int, int] = (0, 0)


def encode_header(entry: Entry) -> bytes:
    """Return the header of an entry with its padding; ``size`` bytes and their `padding` follow.

    Raises ValueError if the size or an id does not fit.
    """
    name = entry.path.encode(errors="surrogateescape") + b"\0"
    fields = (
        *(entry.number, entry.mode, entry.uid, entry.gid, entry.links, 0, entry.size, 0, 0),
        *(*entry.device, len(name), 0),
    )
    if not all(0 <= field <= _MAX_SIZE for field in fields):
        raise ValueError(f"{entry.path[:200]!r} does not fit into an initramfs")
    header = _MAGIC + b"".join(b"%08x" % field for field in fields) + name
    return header + padding(len(header))


def padding(size: int) -> bytes:
    """Return the zeros after ``size`` bytes."""
    return bytes(-size % 4)


def encode_end() -> bytes:
    """Return the mark at the end of an archive."""
    return encode_header(Entry(_TRAILER, 0))
