"""A package with one huge file that compresses about 60 to 1, which is below the limit for bombs."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass

import zstandard

from tests.support.deb import Deb, Item, ar, compress, paragraph, tar


class _Rock(io.RawIOBase):
    """A file of ``size`` deterministic bytes."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._number = 0

    def read(self, size: int = -1, /) -> bytes:
        chunks = []
        while size > 0:
            self._number += 1
            chunks.append(hashlib.sha256(self._number.to_bytes(8, "big")).digest() * 128)
            size -= len(chunks[-1])
        data = b"".join(chunks)[: self._left]
        self._left -= len(data)
        return data


@dataclass(frozen=True)
class Rock(Deb):
    """The package; ``weight`` is the size of its file in bytes."""

    weight: int = 0

    def build(self) -> bytes:
        packed = io.BytesIO()
        with (
            zstandard.ZstdCompressor(level=1).stream_writer(packed, closefd=False) as stream,
            tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as archive,
        ):
            for path in (".", "./usr", "./usr/lib"):
                folder = tarfile.TarInfo(path)
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(folder)
            file = tarfile.TarInfo("./usr/lib/rock")
            file.size, file.mode = self.weight, 0o644
            archive.addfile(file, _Rock(self.weight))
        sums = Item("md5sums", b"0" * 32 + b"  usr/lib/rock\n")
        control = tar([Item("control", paragraph(self.paragraph()).encode()), sums])
        members = [("debian-binary", b"2.0\n"), ("control.tar.gz", compress(control, "gz"))]
        return ar([*members, ("data.tar.zst", packed.getvalue())])
