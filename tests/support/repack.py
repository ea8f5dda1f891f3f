"""Newer versions of real packages, which differ in one byte of one file."""

from __future__ import annotations

import io
import re
import tarfile
from typing import TYPE_CHECKING

import zstandard

from tests.support.deb import ar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Change = Callable[[tarfile.TarInfo, bytes], bytes]


def newer(package: Path, folder: Path, suffix: str = "+newer1") -> Path:
    """Write a newer build of ``package`` into ``folder`` and return it."""
    members = _members(package.read_bytes())
    control = members["control.tar"]
    data = _rewrite(members["data.tar"], _AppendByte())
    version = ""

    def raise_version(member: tarfile.TarInfo, content: bytes) -> bytes:
        nonlocal version
        if member.name.strip("./") != "control":
            return content
        match = re.search(r"^Version: (.+)$", content.decode(), re.MULTILINE)
        assert match
        version = match[1]
        # Packages of one source depend on each other's exact version.
        return content.decode().replace(version, version + suffix).encode()

    control = _rewrite(control, raise_version)
    assert version
    upstream = version.rpartition(":")[2]
    target = folder / package.name.replace(upstream, upstream + suffix)
    assert target.name != package.name
    compressor = zstandard.ZstdCompressor(level=1)  # the size of the package does not matter
    packed = [
        (f"{name}.tar.zst", compressor.compress(tar)) for name, tar in (("control", control), ("data", data))
    ]
    target.write_bytes(ar([("debian-binary", b"2.0\n"), *packed]))
    return target


class _AppendByte:
    """Append a byte to the first file outside of ``share`` and ``etc``."""

    def __init__(self) -> None:
        self._done = False

    def __call__(self, member: tarfile.TarInfo, content: bytes) -> bytes:
        if self._done or not content or "/share/" in member.name or "/etc/" in member.name:
            return content
        self._done = True
        return content + b"\n"


def _members(package: bytes) -> dict[str, bytes]:
    """Return the members of a package, decompressed and without the suffix of the compression (deb(5))."""
    members, offset = {}, 8
    while offset < len(package):
        name = package[offset : offset + 16].decode().strip()
        size = int(package[offset + 48 : offset + 58])
        body = package[offset + 60 : offset + 60 + size]
        base_name, _, compression = name.partition(".tar.")
        members[f"{base_name}.tar" if compression else name] = (
            _decompress(body, compression) if compression else body
        )
        offset += 60 + size + size % 2
    return members


def _decompress(data: bytes, compression: str) -> bytes:
    import gzip
    import lzma

    if compression == "xz":
        return lzma.decompress(data)
    if compression == "gz":
        return gzip.decompress(data)
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


def _rewrite(tar: bytes, change: Change) -> bytes:
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(tar)) as source,
        tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as target,
    ):
        for member in source:
            body = source.extractfile(member) if member.isreg() else None
            content = change(member, body.read()) if body else b""
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    return out.getvalue()
