"""The same packages as apks (apk v2: signature-less, control and data as gzip members), for apko.

Every file of the ``.deb`` is kept, under merged ``/usr`` as apko wants it. apko does not follow links while
it writes, and makes no folders by itself: so the links of merged ``/usr`` are a package of their own, no
package has a folder where another has a link, and each has all the folders that its files are in.
Dependencies are left out: the set is listed in full, so that both tools have the same to do.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import posixpath
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pumice.formats import deb, tar
from pumice.packing.selection import ALIASED_DIRECTORIES, merged_usr_path

MERGED = "merged-usr"
"""The package with the links of merged ``/usr``."""

FORMAT = 2
"""Changes when apks that were made before are to be made again."""

_HOPS = 40


def repack(packages: Sequence[Path], folder: Path) -> list[str]:
    """Write ``packages`` as apks with an index below ``folder``/x86_64; return their names, and `MERGED`."""
    target = folder / "x86_64"
    target.mkdir(parents=True, exist_ok=True)
    links = find_links(packages)
    contents = {MERGED: _merged_data()}
    for path in sorted(packages):
        with path.open("rb") as file:
            name = deb.read_control(file).fields["Package"]
            contents[name] = _data(file, links)
    stanzas = []
    for name, (data, size) in contents.items():
        info = _info(name, size, hashlib.sha256(data).hexdigest())
        control = _members([(".PKGINFO", info.encode())], end=False)
        (target / f"{name}-1-r0.apk").write_bytes(control + data)
        checksum = base64.b64encode(hashlib.sha1(control).digest()).decode()
        stanzas.append(
            f"C:Q1{checksum}\nP:{name}\nV:1-r0\nA:x86_64\nS:{len(control) + len(data)}\nI:{size}\n"
            f"T:{name}\nU:\nL:\no:{name}\n\n"
        )
    index = _members([("DESCRIPTION", b"bench"), ("APKINDEX", "".join(stanzas).encode())], end=True)
    (target / "APKINDEX.tar.gz").write_bytes(index)
    return list(contents)


def find_links(packages: Sequence[Path]) -> dict[str, str]:
    """Return every symbolic link of the packages and of merged ``/usr`` with its target."""
    links = {name: f"usr/{name}" for name in ALIASED_DIRECTORIES}
    for path in packages:
        with path.open("rb") as file:
            for entry, _ in tar.read_entries(deb.open_data(file)):
                if entry.kind == "symlink":
                    links.setdefault(merged_usr_path(entry.path), entry.link)
    return links


def resolve(path: str, links: Mapping[str, str]) -> str:
    """Return where ``path`` is when the links above it are followed; the last name is not."""
    for _ in range(_HOPS):
        parents = [path[:end] for end, letter in enumerate(path) if letter == "/"]
        link = next((parent for parent in parents if parent in links), None)
        if link is None:
            break
        target = posixpath.join("/", posixpath.dirname(link), links[link])
        path = posixpath.normpath(target + path[len(link) :]).strip("/")
    return path


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
        buffer.write(content + bytes(tar.padding_size(len(content))))
    if end:
        buffer.write(tar.END_OF_ARCHIVE)
    return gzip.compress(buffer.getvalue(), 6, mtime=0)


class _Data:
    """The data member of one apk; each file carries its SHA-1, as apk wants it."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._packed = gzip.GzipFile(fileobj=self._buffer, mode="wb", compresslevel=6, mtime=0)
        self._folders = {""}
        self.size = 0

    def add(self, info: tarfile.TarInfo, content: bytes = b"") -> None:
        """Append a member, after the folders that it is in."""
        parent = posixpath.dirname(info.name)
        if parent not in self._folders:
            self.add(_folder(parent))
        if info.isdir():
            if info.name in self._folders:
                return
            self._folders.add(info.name)
        if info.isreg() or info.issym():
            digest = hashlib.sha1(content or info.linkname.encode()).hexdigest()
            info.pax_headers = {"APK-TOOLS.checksum.SHA1": digest}
        info.size = len(content)
        self.size += len(content)
        self._packed.write(info.tobuf(tarfile.PAX_FORMAT))
        self._packed.write(content + bytes(tar.padding_size(len(content))))

    def end(self) -> tuple[bytes, int]:
        """Return the member and the unpacked size."""
        self._packed.write(tar.END_OF_ARCHIVE)
        self._packed.close()
        return self._buffer.getvalue(), self.size


def _folder(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info


def _merged_data() -> tuple[bytes, int]:
    data = _Data()
    for name in ALIASED_DIRECTORIES:
        data.add(_folder(f"usr/{name}"))
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, f"usr/{name}"
        data.add(info)
    return data.end()


_TYPES = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
}


def _data(file: io.BufferedReader, links: Mapping[str, str]) -> tuple[bytes, int]:
    """Return the data member of a package and the unpacked size."""
    data = _Data()
    for entry, body in tar.read_entries(deb.open_data(file)):
        path = resolve(merged_usr_path(entry.path), links)
        if not path or entry.path in ALIASED_DIRECTORIES or (entry.kind == "dir" and path in links):
            continue
        info = tarfile.TarInfo(path)
        info.mode, info.uid, info.gid, info.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
        info.type = _TYPES[entry.kind]
        info.linkname = (
            resolve(merged_usr_path(entry.link), links) if entry.kind == "hardlink" else entry.link
        )
        data.add(info, body.read())
    return data.end()
