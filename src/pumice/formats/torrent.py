"""Torrents of one file: version 2 (BEP 52), and hybrids of versions 1 and 2.

A torrent lists the digests of the pieces of a file. Version 2 has a Merkle tree of SHA-256 over blocks of
16 KiB, so every block that a peer sends can be verified; version 1 has SHA-1 of each piece. Nothing in a
torrent depends on when and where it was made.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError
from pumice.formats import bencode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pumice.formats.bencode import Value

MEDIA_TYPE = "application/x-bittorrent"
ARTIFACT_TYPE = "application/vnd.pumice.torrents.v1"
"""The type of the artifact with torrents of the blobs of an image."""
BLOB_ANNOTATION = "dev.pumice.torrent.blob"
"""The annotation of a layer of it with the digest of the blob that the torrent is for."""
MAX_SIZE = 4 << 20
"""Maximum size of a torrent in bytes."""

BLOCK = 16 << 10
_MIN_PIECE = 256 << 10
_MAX_PIECE = 64 << 20
_PIECES = 1024
"""About as many pieces as a torrent has, if the pieces are not smaller than the minimum."""
_ZERO = bytes(32)


class Torrent(msgspec.Struct, frozen=True):
    """A torrent of one file. ``size`` and ``piece_size`` are in bytes."""

    name: str
    size: int
    piece_size: int
    info: bytes
    """The encoded ``info``, whose digests identify the torrent."""
    trackers: tuple[str, ...] = ()
    web_seeds: tuple[str, ...] = ()

    @property
    def piece_count(self) -> int:
        """The number of pieces."""
        return -(-self.size // self.piece_size)

    @property
    def info_hashes(self) -> tuple[bytes, ...]:
        """The 20 bytes that announce the torrent to trackers: of version 2 (shortened), then of version 1."""
        v1 = (hashlib.sha1(self.info, usedforsecurity=False).digest(),)
        is_hybrid = b"pieces" in _dictionary(bencode.decode(self.info), "the info of the torrent")
        return (hashlib.sha256(self.info).digest()[:20], *(v1 if is_hybrid else ()))


def choose_piece_size(size: int) -> int:
    """Return a power of two that cuts ``size`` bytes into about a thousand pieces."""
    piece_size = _MIN_PIECE
    while piece_size < _MAX_PIECE and size > piece_size * _PIECES:
        piece_size *= 2
    return piece_size


def make_torrent(
    name: str,
    size: int,
    chunks: Iterable[bytes],
    *,
    trackers: Sequence[str] = (),
    web_seeds: Sequence[str] = (),
    with_v1: bool = True,
) -> bytes:
    """Return the torrent of a file of ``size`` bytes (at least 1); ``with_v1`` makes a hybrid.

    Raises FormatError if the chunks have another size.
    """
    piece_size = choose_piece_size(size)
    hashes = _hash_pieces(chunks, size, piece_size, name, with_v1=with_v1)
    roots = hashes.roots
    root = roots[0] if len(roots) == 1 else _root(roots, _merge_to(_ZERO, piece_size // BLOCK))
    info: dict[str, object] = {
        "file tree": {name: {"": {"length": size, "pieces root": root}}},
        "meta version": 2,
        "name": name,
        "piece length": piece_size,
        **({"length": size, "pieces": hashes.sha1} if with_v1 else {}),
    }
    layers = {root: b"".join(roots)} if len(roots) > 1 else {}
    document: dict[str, object] = {"info": info, "piece layers": layers}
    if trackers:
        document |= {"announce": trackers[0], "announce-list": [[tracker] for tracker in trackers]}
    if web_seeds:
        document["url-list"] = list(web_seeds)
    return bencode.encode(document)


class _PieceHashes(msgspec.Struct, frozen=True):
    """The hashes of the pieces of a file: the root of each, and their SHA-1 in version 1."""

    roots: list[bytes]
    sha1: bytes


def _hash_pieces(
    chunks: Iterable[bytes], size: int, piece_size: int, name: str, *, with_v1: bool
) -> _PieceHashes:
    roots: list[bytes] = []
    sha1 = bytearray()
    total = 0
    for piece in _cut(chunks, piece_size):
        total += len(piece)
        roots.append(_hash_piece(piece, piece_size if size > piece_size else 0))
        if with_v1:
            sha1 += hashlib.sha1(piece, usedforsecurity=False).digest()
    if total != size or not size:
        raise FormatError(f"the file has {total} bytes, not {size}", where=name)
    return _PieceHashes(roots, bytes(sha1))


def read_torrent(data: bytes) -> Torrent:
    """Return the torrent in ``data``; raises FormatError, also for one of several files."""
    if len(data) > MAX_SIZE:
        raise FormatError("the torrent is larger than 4 MiB")
    document = _dictionary(bencode.decode(data), "the torrent")
    info = _dictionary(document.get(b"info"), "the info of the torrent")
    name, piece_size = info.get(b"name"), info.get(b"piece length")
    size = _read_size(info)
    if not isinstance(name, bytes) or not isinstance(piece_size, int):
        raise FormatError("the torrent has no name, or no piece length")
    is_power = piece_size.bit_count() == 1
    if not (is_power and BLOCK <= piece_size <= _MAX_PIECE and 0 < size <= 1 << 40):
        raise FormatError("the torrent has pieces or a file of an unusual size")
    return Torrent(
        name=name.decode(errors="replace"),
        size=size,
        piece_size=piece_size,
        info=bencode.encode(info),
        trackers=tuple(_read_trackers(document)),
        web_seeds=tuple(_texts(document.get(b"url-list"))),
    )


def _read_size(info: dict[bytes, Value]) -> int:
    """Return the size of the only file; both versions must agree on it."""
    tree = _dictionary(info.get(b"file tree"), "the file tree of the torrent")
    if len(tree) != 1 or info.get(b"meta version") != 2:
        raise FormatError("the torrent is not of version 2, or has several files")
    file = _dictionary(next(iter(tree.values())), "the file of the torrent")
    entry = _dictionary(file.get(b""), "the file of the torrent")
    size = entry.get(b"length")
    if not isinstance(size, int) or info.get(b"length", size) != size:
        raise FormatError("the torrent has two sizes of its file, or none")
    return size


def _read_trackers(document: dict[bytes, Value]) -> Iterator[str]:
    tiers = document.get(b"announce-list")
    listed = [text for tier in tiers for text in _texts(tier)] if isinstance(tiers, list) else []
    yield from dict.fromkeys([*_texts(document.get(b"announce")), *listed])


def _texts(value: Value | None) -> list[str]:
    """Return the texts of a list, or of one value; others are left out."""
    elements = value if isinstance(value, list) else [value]
    return [text.decode(errors="replace") for text in elements if isinstance(text, bytes)]


def _dictionary(value: Value | None, what: str) -> dict[bytes, Value]:
    if not isinstance(value, dict):
        raise FormatError(f"{what} is not a dictionary")
    return value


# The Merkle tree ------------------------------------------------------------------------------------


def _cut(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield pieces of ``size`` bytes, the last one shorter."""
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        while len(pending) >= size:
            yield bytes(pending[:size])
            del pending[:size]
    if pending:
        yield bytes(pending)


def _hash_piece(piece: bytes, piece_size: int) -> bytes:
    """Return the root of the blocks of a piece; ``piece_size`` is 0 for a file of only one piece."""
    view = memoryview(piece)
    blocks = [hashlib.sha256(view[at : at + BLOCK]).digest() for at in range(0, len(piece), BLOCK)]
    blocks += [_ZERO] * (piece_size // BLOCK - len(blocks))
    return _root(blocks, _ZERO)


def _root(hashes: Sequence[bytes], padding: bytes) -> bytes:
    """Return the root of a tree whose leaves are ``hashes``, and ``padding`` up to a power of two."""
    level = list(hashes)
    level += [padding] * ((1 << (len(level) - 1).bit_length()) - len(level))
    while len(level) > 1:
        level = [hashlib.sha256(level[at] + level[at + 1]).digest() for at in range(0, len(level), 2)]
    return level[0]


def _merge_to(leaf: bytes, count: int) -> bytes:
    """Return the root of ``count`` equal leaves, a power of two."""
    while count > 1:
        leaf = hashlib.sha256(leaf + leaf).digest()
        count //= 2
    return leaf
