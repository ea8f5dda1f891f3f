"""Builds an App Container image from an image layout: a directory with ``manifest`` and ``rootfs``.

Links are not followed. The entries are sorted, so equal directories give equal images.
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from pumice.appc.aci_archive import MANIFEST, ROOTFS, AciWriter, ArchiveNames
from pumice.appc.image_manifest import MAX_MANIFEST, encode_image_manifest, read_image_manifest
from pumice.errors import ImageError
from pumice.formats.tar import Entry, Kind
from pumice.image.regular_file import read_failures, read_small
from pumice.os_errors import IMAGE, translate_os_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from pumice.appc.image_manifest import ImageManifest
    from pumice.appc.streams import Compression
    from pumice.image.output import Output
    from pumice.progress import Progress

_XATTRS = ("security.capability", "user.")
_MAX_DEPTH = 200
_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}


class LayoutOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a layout is written. ``newest`` is the newest time a file may have, None for no limit."""

    compression: Compression = "gzip"
    owner_root: bool = False
    newest: int | None = None


def write_layout(layout: Path, output: Output, options: LayoutOptions, progress: Progress) -> str:
    """Write the image of a layout; return its image ID. Raises ImageError, FormatError."""
    manifest = encode_image_manifest(read_layout_manifest(layout)[0])
    with progress.task(f"writing {output}") as task, read_failures(layout):
        names = ArchiveNames()
        with (
            translate_os_errors(str(output), IMAGE),
            AciWriter(manifest, options.compression, output.file.write) as writer,
        ):
            for entry, path in _walk(layout / ROOTFS, options, progress):
                names.add(_below_root(entry))
                with ExitStack() as stack:
                    has_content = entry.kind == "file" and entry.size
                    body = stack.enter_context(_open_file(path)) if has_content else None
                    writer.add(entry, body)
                task.advance(entry.size)
            return writer.finish()


def read_layout_manifest(layout: Path) -> tuple[ImageManifest, tuple[str, ...]]:
    """Return the manifest of a layout and warnings about it; raises ImageError, FormatError."""
    for name in (MANIFEST, ROOTFS):
        if not os.path.lexists(layout / name):
            raise ImageError(
                f"the directory has no {name}",
                where=str(layout),
                hint=f"an image layout is a directory with {MANIFEST} and {ROOTFS}/",
            )
    others = sorted({path.name for path in layout.iterdir()} - {MANIFEST, ROOTFS})
    if others:
        raise ImageError(
            f"the directory has {others[0][:200]!r}, which an image cannot have", where=str(layout)
        )
    if (layout / ROOTFS).is_symlink() or not (layout / ROOTFS).is_dir():
        raise ImageError(f"{ROOTFS} is not a directory", where=str(layout))
    data = read_small(layout / MANIFEST, MAX_MANIFEST)
    return read_image_manifest(data or b"")


def _below_root(entry: Entry) -> Entry:
    path = f"{ROOTFS}/{entry.path}".rstrip("/")
    link = f"{ROOTFS}/{entry.link}" if entry.kind == "hardlink" else entry.link
    return msgspec.structs.replace(entry, path=path, link=link)


def _walk(root: Path, options: LayoutOptions, progress: Progress) -> Iterator[tuple[Entry, Path]]:
    """Yield the entries below a directory in the order of a tree walk, names sorted."""
    inodes: dict[tuple[int, int], str] = {}
    pending = [(root, "", 0)]
    while pending:
        path, relative, depth = pending.pop()
        status = path.lstat()
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            progress.warn(f"{path}: sockets are left out")
            continue
        entry = _make_entry(path, relative, kind, status, options)
        if kind != "dir" and status.st_nlink > 1:
            target = inodes.setdefault((status.st_dev, status.st_ino), relative)
            if target != relative and kind == "file":
                entry = msgspec.structs.replace(entry, kind="hardlink", size=0, link=target, xattrs={})
        yield entry, path
        if kind == "dir":
            if depth >= _MAX_DEPTH:
                raise ImageError("the directories are nested too deep", where=str(path)[:200])
            names = sorted((child.name for child in path.iterdir()), reverse=True)
            prefix = f"{relative}/" if relative else ""
            pending += [(path / name, prefix + name, depth + 1) for name in names]


def _make_entry(
    path: Path, relative: str, kind: Kind, status: os.stat_result, options: LayoutOptions
) -> Entry:
    mtime = int(status.st_mtime)
    is_device = kind in ("char", "block")
    return Entry(
        path=relative,
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=0 if options.owner_root else status.st_uid,
        gid=0 if options.owner_root else status.st_gid,
        mtime=mtime if options.newest is None else min(mtime, options.newest),
        size=status.st_size if kind == "file" else 0,
        link=str(path.readlink()) if kind == "symlink" else "",
        xattrs=_read_xattrs(path),
        device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if is_device else (0, 0),
    )


def _read_xattrs(path: Path) -> dict[str, bytes]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in sorted(names)
            if name.startswith(_XATTRS)
        }
    except OSError:  # the file system has none
        return {}


def _open_file(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
