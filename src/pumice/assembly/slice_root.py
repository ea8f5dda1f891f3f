"""Writes a tree of slices into a directory, new or one that was cut before."""

from __future__ import annotations

import io
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError, ImageError
from pumice.files import open_regular
from pumice.formats.compression import DecompressedStream
from pumice.image.flatten import flatten
from pumice.image.output import require_writable
from pumice.image.unpack import check_new_directory, unpack_into
from pumice.os_errors import IMAGE, translate_os_errors
from pumice.slices.manifest import MAX_SIZE, Manifest, read_manifest
from pumice.slices.selection import MANIFEST_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.assembly.slice_tree import CutTree
    from pumice.image.rootfs import RootfsWriter
    from pumice.progress import Progress
    from pumice.slices.model import Release

_ORDER = {"dir": 0, "symlink": 1, "file": 2, "hardlink": 3}


def find_manifest(root: Path, release: Release) -> Manifest | None:
    """Return the manifest of a directory that was cut before, None if it has none; raises FormatError."""
    paths = sorted(
        {
            rule.path.removesuffix("**") + MANIFEST_NAME
            for item in release.all_slices()
            for rule in item.contents
            if rule.kind == "generate"
        }
    )
    for path in paths:
        file_path = _resolve_inside(root, path)
        if file_path is None:
            continue
        try:
            with open_regular(file_path) as file:
                data = DecompressedStream(file, "zstd", limit=MAX_SIZE).read(MAX_SIZE)
            return read_manifest(data)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except FormatError as error:
            raise FormatError(error.message, where=str(file_path), hint=error.hint) from None
    return None


def check_root(root: Path) -> None:
    """Raise ImageError if nothing can be written into ``root``, before anything is cut for it."""
    with translate_os_errors(root, IMAGE):
        if root.exists() and any(root.iterdir()):
            require_writable(root)
        else:
            check_new_directory(root)


def write_root(cut: CutTree, root: Path, manifest: Manifest | None, progress: Progress) -> None:
    """Write a tree into ``root``, which need not be empty, and remove what only ``manifest`` lists.

    Files that no manifest lists are never replaced. Raises ImageError.
    """
    with translate_os_errors(root, IMAGE):
        if not root.exists() or not any(root.iterdir()):
            with unpack_into(root, progress) as folder:
                _write_tree(cut, folder)
            return
        staged = root / f".pumice-{os.urandom(8).hex()}"
        try:
            with unpack_into(staged, progress) as folder:
                _write_tree(cut, folder)
            old_paths = {path.rstrip("/") for path in manifest.paths} if manifest else set()
            _merge(staged, root, old_paths)
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def _write_tree(cut: CutTree, folder: RootfsWriter) -> None:
    """Write the entries, with links in their paths resolved."""
    items = sorted(cut.tree.values(), key=lambda item: (_ORDER[item.entry.kind], item.entry.path))
    names: dict[int, list[str]] = {}
    for path, visible in flatten([[item.entry for item in items]]).items():
        if visible.entry.kind == "dir":
            folder.add_directory(msgspec.structs.replace(visible.entry, path=path))
        else:
            names.setdefault(visible.origin.position, []).append(path)
    for position, paths in names.items():
        item = items[position]
        body = io.BytesIO(cut.read(item) if item.entry.kind == "file" else b"")
        folder.add_entry(msgspec.structs.replace(item.entry, path=paths[0]), body)  # type: ignore[arg-type]  # a BytesIO is read like a regular file
        for path in paths[1:]:
            folder.add_hardlink(
                msgspec.structs.replace(item.entry, path=path, kind="hardlink", size=0, link=paths[0])
            )


def _merge(staged: Path, root: Path, old_paths: set[str]) -> None:
    """Move a staged tree into ``root``; nothing is changed if something is in the way."""
    directories, others = _list_tree(staged)
    for relative in (*directories, *others):
        _check_place(root, relative, relative in directories, old_paths)
    for relative in directories:
        target = root / relative
        if not _is_directory(target):
            with suppress(FileNotFoundError):
                target.unlink()
            target.mkdir(0o700)
    for relative in others:
        target = root / relative
        if _is_directory(target):
            target.rmdir()
        (staged / relative).rename(target)
    _remove_obsolete(root, old_paths - {f"/{path}" for path in (*directories, *others)})
    for relative in reversed(directories):
        _copy_attributes(staged / relative, root / relative)


def _list_tree(staged: Path) -> tuple[list[str], list[str]]:
    directories: list[str] = []
    others: list[str] = []
    for folder, folder_names, file_names in os.walk(staged):
        for name in sorted((*folder_names, *file_names)):
            path = Path(folder) / name
            relative = str(path.relative_to(staged))
            (directories if _is_directory(path) else others).append(relative)
    return directories, others


def _check_place(root: Path, relative: str, is_directory: bool, old_paths: set[str]) -> None:
    target = root / relative
    try:
        status = target.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    is_old = f"/{relative}" in old_paths
    if stat.S_ISDIR(status.st_mode):
        if is_directory or (is_old and not any(target.iterdir())):
            return
        raise ImageError("a directory exists where a file would be written", where=str(target))
    if not is_old:
        hint = "choose another directory, or remove the file"
        raise ImageError("a file exists that no slice has put there", where=str(target), hint=hint)


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _remove_obsolete(root: Path, paths: Iterable[str]) -> None:
    """Remove the files that no slice lists any longer, and the directories that are empty then."""
    for path in sorted(paths, reverse=True):
        target = _resolve_inside(root, path)
        if target is None:
            continue
        with suppress(OSError):
            if _is_directory(target):
                target.rmdir()
            else:
                target.unlink()


def _resolve_inside(root: Path, path: str) -> Path | None:
    """Return where a path is in ``root``; None if links above it lead out."""
    parent, _, name = path.strip("/").rpartition("/")
    real_root = os.path.realpath(root)
    real_parent = os.path.realpath(Path(real_root) / parent)
    if real_parent != real_root and not real_parent.startswith(real_root.rstrip("/") + "/"):
        return None
    return Path(real_parent) / name


def _copy_attributes(source: Path, target: Path) -> None:
    status = source.lstat()
    with suppress(PermissionError):
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    target.chmod(stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
