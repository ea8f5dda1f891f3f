"""The scan of a layer: its entries and the files that describe the image, cached by its diff ID.

The diff ID is the digest of the content, so a cached scan never becomes stale.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pumice.cache_keys import cache_key
from pumice.errors import FormatError, StoreError
from pumice.formats import apkstate
from pumice.formats.tar import Entry
from pumice.image.layer_links import LayerLinks

if TYPE_CHECKING:
    from pumice.digest import Digest
    from pumice.formats.tar import Body
    from pumice.image.layer import Layer
    from pumice.image.stat_cache import Records

_KIND = "layer-scan"
_CHUNK = 1 << 20
_MAX_TEXT = 64 << 20
_MAX_TEXTS = 256 << 20
_MAX_COPYRIGHT = 4 << 20

STATUS = "var/lib/dpkg/status"
STATUS_DIRECTORY = "var/lib/dpkg/status.d/"
INFO_DIRECTORY = "var/lib/dpkg/info/"
USERS = ("etc/passwd", "etc/group")
RELEASES = ("etc/os-release", "usr/lib/os-release")
_DOC_DIRECTORY = "usr/share/doc/"


class FileDigests(NamedTuple):
    """The digests of a regular file in hexadecimal; empty for every other entry."""

    sha256: str = ""
    sha1: str = ""


class LayerScan(msgspec.Struct, frozen=True):
    """The entries of a layer in order, and the contents of files that describe the image.

    ``unpacked`` is the sum of the file sizes in bytes. A detailed scan also has ``digests``, one for each
    entry, and in ``texts`` the copyright files and the database of apk.
    """

    entries: tuple[Entry, ...]
    texts: dict[str, bytes]
    unpacked: int
    digests: tuple[FileDigests, ...] = ()
    is_detailed: bool = False


_decoder = msgspec.msgpack.Decoder(LayerScan)


def scan_layer(layer: Layer, records: Records | None = None, *, detailed: bool = False) -> LayerScan:
    """Return the scan of a layer, from ``records`` (``Home.records``) if it is there.

    A ``detailed`` scan hashes every file. Raises TrustError and FormatError as `Layer.entries` does.
    """
    key = cache_key("layer-scan", layer.diff_id)
    cached_scan = _get(key, records)
    if cached_scan is not None and (cached_scan.is_detailed or not detailed):
        return cached_scan
    scan = _read_detailed(layer) if detailed else _read(layer)
    _put(key, scan, records)
    return scan


def _get(key: Digest, records: Records | None) -> LayerScan | None:
    data = None if records is None else records.get(_KIND, key)
    try:
        return None if data is None else _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError):
        return None


def _put(key: Digest, scan: LayerScan, records: Records | None) -> None:
    if records is None:
        return
    try:
        records.put(_KIND, key, msgspec.msgpack.encode(scan))
    except (UnicodeEncodeError, StoreError):
        # MessagePack cannot encode names that are not UTF-8, or the disk is full: the layer is read again.
        return


class _Texts:
    """The contents of the files that describe an image, within a limit."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self._size = 0

    def reserve(self, entry: Entry) -> None:
        """Count a file before it is read; raises FormatError if the files exceed the limit."""
        self._size += entry.size
        if entry.size > _MAX_TEXT or self._size > _MAX_TEXTS:
            raise FormatError(
                "the package database of the image is larger than any real one", where=entry.path
            )


def _read(layer: Layer) -> LayerScan:
    entries: list[Entry] = []
    texts = _Texts()
    links = LayerLinks()
    for entry, body in layer.entries():
        entries.append(entry)
        if describes_image(links.resolve_entry(entry)) and entry.kind == "file":
            texts.reserve(entry)
            texts.contents[entry.path] = body.read()
    return LayerScan(tuple(entries), texts.contents, sum(entry.size for entry in entries))


def _read_detailed(layer: Layer) -> LayerScan:
    entries: list[Entry] = []
    digests: list[FileDigests] = []
    texts = _Texts()
    links = LayerLinks()
    for entry, body in layer.entries():
        entries.append(entry)
        path = links.resolve_entry(entry)
        if entry.kind != "file":
            digests.append(FileDigests())
        elif _describes_packages(path, entry.size):
            texts.reserve(entry)
            chunks: list[bytes] = []
            digests.append(_hash_file(body, chunks))
            texts.contents[entry.path] = b"".join(chunks)
        else:
            digests.append(_hash_file(body, None))
    unpacked = sum(entry.size for entry in entries)
    return LayerScan(tuple(entries), texts.contents, unpacked, tuple(digests), is_detailed=True)


def _hash_file(body: Body, chunks: list[bytes] | None) -> FileDigests:
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
    while chunk := body.read(_CHUNK):
        sha256.update(chunk)
        sha1.update(chunk)
        if chunks is not None:
            chunks.append(chunk)
    return FileDigests(sha256.hexdigest(), sha1.hexdigest())


def describes_image(path: str) -> bool:
    """Whether the content of a file describes the image: dpkg's database, users, or the release."""
    if path.startswith(INFO_DIRECTORY):
        return path.endswith(".list")
    return path == STATUS or path.startswith(STATUS_DIRECTORY) or path in USERS or path in RELEASES


def _describes_packages(path: str, size: int) -> bool:
    if path.startswith(_DOC_DIRECTORY) and path.endswith("/copyright"):
        return size <= _MAX_COPYRIGHT
    return path in apkstate.DATABASE_PATHS or describes_image(path)
