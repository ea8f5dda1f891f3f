"""Synthetic ``.deb`` files, made without dpkg: equal descriptions give equal bytes (deb(5)).

Compression ``none`` is equal on any machine; the others are as stable as their library.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import hashlib
import io
import lzma
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Compression = Literal["none", "gz", "xz", "zst", "bz2", "lzma"]

EPOCH = 1_700_000_000
"""The default time of everything."""

_SUFFIX = {"none": "", "gz": ".gz", "xz": ".xz", "zst": ".zst", "bz2": ".bz2", "lzma": ".lzma"}
_TYPES = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "char": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE,
}
_MODES = {"dir": 0o755, "symlink": 0o777}


@dataclass(frozen=True)
class Item:
    """One member of ``data.tar``; ``path`` has no ``./`` except in hostile packages."""

    path: str
    content: bytes = b""
    kind: str = "file"
    link: str = ""
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    user: str = "root"
    group: str = "root"
    mtime: int = EPOCH
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, bytes], ...] = ()
    """Extended attributes, which dpkg-deb never writes; the archive is in the pax format then."""
    raw: bool = False
    """Write ``path`` and ``link`` unchanged."""


def text(path: str, content: str, mode: int = 0o644) -> Item:
    return Item(path, content.encode(), mode=mode)


def folder(path: str, mode: int = 0o755, **options: Any) -> Item:
    return Item(path, kind="dir", mode=mode, **options)


def symlink(path: str, target: str) -> Item:
    return Item(path, kind="symlink", link=target)


def hardlink(path: str, target: str) -> Item:
    return Item(path, kind="hardlink", link=target)


@dataclass(frozen=True)
class Deb:
    """A package. ``fields`` are added to the control paragraph; an empty value removes a field."""

    name: str
    version: str = "1.0"
    architecture: str = "amd64"
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[Item] = ()
    control_files: Mapping[str, bytes | str] = field(default_factory=dict)
    """``postinst``, ``triggers``, ...: scripts get mode 0755."""
    conffiles: Sequence[str] = ()
    compression: Compression = "xz"
    mtime: int = EPOCH
    """The time of the ``ar`` members and of the control files."""
    parents: bool = True
    """Add the directories above each file, as every real package has them."""

    @property
    def filename(self) -> str:
        version = self.version.split(":", 1)[-1]
        return f"{self.name}_{version}_{self.architecture}.deb"

    def pool_path(self, component: str = "main") -> str:
        source = self.fields.get("Source", self.name).split()[0]
        prefix = source[:4] if source.startswith("lib") else source[:1]
        return f"pool/{component}/{prefix}/{source}/{self.filename}"

    def paragraph(self) -> dict[str, str]:
        """Return the control paragraph, in dpkg's order."""
        size = sum(-(-len(item.content) // 1024) or 1 for item in self.files)
        basic = {
            "Package": self.name,
            "Source": "",
            "Version": self.version,
            "Architecture": self.architecture,
            "Maintainer": "Test <test@pumice.invalid>",
            "Installed-Size": str(size),
            "Section": "misc",
            "Priority": "optional",
            "Description": f"synthetic package {self.name}",
        }
        basic.update(self.fields)
        return {key: value for key, value in basic.items() if value}

    def build(self) -> bytes:
        """Return the bytes of the package."""
        suffix = _SUFFIX[self.compression]
        # dpkg-deb accepts these only for the data.
        control = "gz" if self.compression in ("bz2", "lzma") else self.compression
        return ar(
            [
                ("debian-binary", b"2.0\n"),
                (f"control.tar{_SUFFIX[control]}", compress(self._control_tar(), control)),
                (f"data.tar{suffix}", compress(tar(self._items()), self.compression)),
            ],
            self.mtime,
        )

    def _items(self) -> list[Item]:
        return with_parents(self.files) if self.parents else list(self.files)

    def _control_tar(self) -> bytes:
        files: dict[str, bytes | str] = {"control": paragraph(self.paragraph())}
        if self.conffiles:
            files["conffiles"] = "".join(f"{path}\n" for path in self.conffiles)
        sums = [
            f"{hashlib.md5(item.content).hexdigest()}  {item.path}\n"
            for item in sorted(self.files, key=lambda item: item.path)
            if item.kind == "file" and f"/{item.path}" not in self.conffiles
        ]
        if sums:
            files["md5sums"] = "".join(sums)
        files.update(self.control_files)
        scripts = {"preinst", "postinst", "prerm", "postrm", "config"}
        members = [Item("", kind="dir", mtime=self.mtime)]
        for name in sorted(files):
            value = files[name]
            content = value.encode() if isinstance(value, str) else value
            mode = 0o755 if name in scripts else 0o644
            members.append(Item(name, content, mode=mode, mtime=self.mtime))
        return tar(members)


def with_parents(files: Sequence[Item]) -> list[Item]:
    """Return ``files`` with ``./`` and each missing directory before its first use."""
    entries = {item.path for item in files if item.kind == "dir"}
    directories: set[str] = set()
    files_with_parents: list[Item] = []
    if "" not in entries:
        files_with_parents.append(Item("", kind="dir"))
    for item in files:
        components = item.path.split("/")[:-1]
        for depth in range(1, len(components) + 1):
            parent = "/".join(components[:depth])
            if parent not in directories and parent not in entries:
                files_with_parents.append(Item(parent, kind="dir"))
            directories.add(parent)
        files_with_parents.append(item)
    return files_with_parents


def tar(items: Iterable[Item]) -> bytes:
    """Return a GNU tar archive as dpkg-deb writes it."""
    buffer = io.BytesIO()
    items = list(items)
    kind = tarfile.PAX_FORMAT if any(item.xattrs for item in items) else tarfile.GNU_FORMAT
    with tarfile.open(
        fileobj=buffer, mode="w", format=kind, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for item in items:
            info = tarfile.TarInfo(item.path if item.raw else f"./{item.path}" if item.path else ".")
            if item.kind == "dir" and not item.raw:
                info.name = f"./{item.path}".rstrip("/")
            info.type = _TYPES[item.kind]
            info.mode = item.mode if item.mode is not None else _MODES.get(item.kind, 0o644)
            info.uid, info.gid, info.uname, info.gname = item.uid, item.gid, item.user, item.group
            info.mtime = item.mtime
            info.pax_headers = {
                f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape")
                for name, value in item.xattrs
            }
            info.devmajor, info.devminor = item.device
            info.linkname = f"./{item.link}" if item.kind == "hardlink" and not item.raw else item.link
            if item.kind == "file":
                info.size = len(item.content)
            archive.addfile(info, io.BytesIO(item.content))
    return buffer.getvalue()


def ar(members: Sequence[tuple[str, bytes]], mtime: int = EPOCH) -> bytes:
    """Return a Unix ``ar`` archive in the format of deb(5)."""
    chunks = [b"!<arch>\n"]
    for name, content in members:
        chunks.append(f"{name:<16}{mtime:<12}{0:<6}{0:<6}{0o100644:<8o}{len(content):<10}`\n".encode())
        chunks.append(content + b"\n" * (len(content) % 2))
    return b"".join(chunks)


@functools.lru_cache(maxsize=128)  # most tests have the same packages
def compress(data: bytes, how: Compression) -> bytes:
    if how == "gz":
        return gzip.compress(data, 9, mtime=0)
    if how == "xz":
        return lzma.compress(data, check=lzma.CHECK_CRC64, preset=6)
    if how == "bz2":
        return bz2.compress(data)
    if how == "lzma":
        return lzma.compress(data, format=lzma.FORMAT_ALONE)
    if how == "zst":
        import zstandard

        return zstandard.ZstdCompressor(level=3, threads=0).compress(data)
    return data


def paragraph(fields: Mapping[str, str]) -> str:
    """Return a deb822 paragraph; continuation lines of values must start with a space."""
    return "".join(
        f"{key}: {value}\n" if value[:1] != "\n" else f"{key}:{value}\n" for key, value in fields.items()
    )
