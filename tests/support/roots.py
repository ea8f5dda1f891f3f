"""Facts about file trees, read by ``tarfile`` and ``dpkg-deb`` instead of Pumice's own readers."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from tests.support.peers import need

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
}


class Fact(NamedTuple):
    """The attributes of one path; ``sha256`` is the digest of a file's content."""

    kind: str
    mode: int
    owner: tuple[int, int]
    size: int
    link: str
    sha256: str
    mtime: int


Root = dict[str, Fact]
"""Path (without a leading slash) to what is there."""


def of_tar(path: Path) -> Root:
    """Return the tree in a tar file, which must not contain a path twice."""
    with path.open("rb") as file:
        return _collect(file)


def of_package(path: Path) -> Root:
    """Return the tree that ``dpkg-deb -x`` unpacks, read from its tar stream to see owners without root."""
    with subprocess.Popen(
        [need("dpkg-deb"), "--fsys-tarfile", str(path)], stdout=subprocess.PIPE
    ) as unpacking:
        assert unpacking.stdout
        root = _collect(unpacking.stdout)
        unpacking.stdout.read()
    assert unpacking.returncode == 0
    return root


def _collect(file: IO[bytes]) -> Root:
    root: Root = {}
    with tarfile.open(fileobj=file, mode="r|") as archive:
        for path, fact in _facts(archive):
            assert path not in root, f"{path} is there twice"
            root[path] = fact
    return root


def _facts(archive: tarfile.TarFile) -> Iterator[tuple[str, Fact]]:
    for member in archive:
        path = member.name.removeprefix("./").strip("/")
        if path in {"", "."}:
            continue
        kind = _KINDS.get(member.type, "other")
        link = member.linkname.removeprefix("./") if kind == "hardlink" else member.linkname
        sha256 = ""
        if kind == "file":
            body = archive.extractfile(member)
            assert body
            digest = hashlib.sha256()
            while chunk := body.read(1 << 20):
                digest.update(chunk)
            sha256 = digest.hexdigest()
        size = member.size if kind == "file" else 0
        yield path, Fact(kind, member.mode, (member.uid, member.gid), size, link, sha256, int(member.mtime))
