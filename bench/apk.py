"""The same packages as apks (apk v2: signature-less, control and data as gzip members), for apko.

Every file of the ``.deb`` is kept, under merged ``/usr`` as apko wants it. Dependencies are left out:
the set is listed in full, so that both tools have the same to do.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from pumice.formats import deb, tar
from pumice.image.selection import ALIASED, place


def repack(packages: Sequence[Path], folder: Path) -> list[str]:
    """Write ``packages`` as apks with an index below ``folder``/x86_64; return their names."""
    target = folder / "x86_64"
    target.mkdir(parents=True, exist_ok=True)
    stanzas, names = [], []
    for path in sorted(packages):
        with path.open("rb") as file:
            fields = deb.control(file).fields
            data, size = _data(file)
        name = fields["Package"]
        info = _info(name, size, hashlib.sha256(data).hexdigest())
        control = _members([(".PKGINFO", info.encode())], end=False)
        (target / f"{name}-1-r0.apk").write_bytes(control + data)
        checksum = base64.b64encode(hashlib.sha1(control).digest()).decode()
        stanzas.append(
            f"C:Q1{checksum}\nP:{name}\nV:1-r0\nA:x86_64\nS:{len(control) + len(data)}\nI:{size}\n"
            f"T:{name}\nU:\nL:\no:{name}\n\n"
        )
        names.append(name)
    index = _members([("DESCRIPTION", b"bench"), ("APKINDEX", "".join(stanzas).encode())], end=True)
    (target / "APKINDEX.tar.gz").write_bytes(index)
    return names


def _info(name: str, size: int, datahash: str) -> str:
    return (
        f"pkgname = {name}\npkgver = 1-r0\npkgdesc = {name}\nsize = {size}\narch = x86_64\n"
        f"origin = {name}\ndatahash = {datahash}\n"
    )


def _members(files: Sequence[tuple[str, bytes]], *, end: bool) -> bytes:
    buffer = io.BytesIO()
    for name, content in files:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        buffer.write(info.tobuf(tarfile.USTAR_FORMAT))
        buffer.write(content + bytes(tar.padding(len(content))))
    if end:
        buffer.write(tar.END)
    return gzip.compress(buffer.getvalue(), 6, mtime=0)


def _data(file: io.BufferedReader) -> tuple[bytes, int]:
    """Return the data member and the unpacked size; each file carries its SHA-1, as apk wants it."""
    buffer, size = io.BytesIO(), 0
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6, mtime=0) as packed:
        for entry, body in tar.read(deb.data(file)):
            if not entry.path or (entry.kind == "dir" and entry.path in ALIASED):
                continue
            info = tarfile.TarInfo(place(entry.path))
            info.mode, info.uid, info.gid, info.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
            content = body.read()
            size += len(content)
            info.size = len(content)
            info.type = {
                "file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE,
                "hardlink": tarfile.LNKTYPE,
            }[entry.kind]  # fmt: skip
            info.linkname = place(entry.link) if entry.kind == "hardlink" else entry.link
            if entry.kind in ("file", "symlink"):
                digest = hashlib.sha1(content or entry.link.encode()).hexdigest()
                info.pax_headers = {"APK-TOOLS.checksum.SHA1": digest}
            packed.write(info.tobuf(tarfile.PAX_FORMAT))
            packed.write(content + bytes(tar.padding(len(content))))
        packed.write(tar.END)
    return buffer.getvalue(), size
