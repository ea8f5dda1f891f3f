"""A static registry in a directory, which a web server serves.

A web server chooses the Content-Type by the file name, so the file of a manifest has a suffix that its URL
does not have (see `tree.MANIFEST_SUFFIXES`). Each file is written under a scratch name and renamed, so a
server that has it open keeps sending what it was.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pumice import files, ownership
from pumice.formats import oci
from pumice.image.regular_file import read_small
from pumice.os_errors import IMAGE, translate_os_errors
from pumice.publish.tree import MANIFEST_SUFFIXES
from pumice.publish.tree_files import advance_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FILE_MODE = 0o644
_DIRECTORY_MODE = 0o755
_SCRATCH = ".pumice-scratch-"
_DIRECTORY_INDEX = "index.json"


@contextmanager
def open_directory(directory: Path) -> Iterator[DirectoryTree]:
    """Give the tree in a directory, which is created if its parent exists; excludes other writers.

    Raises ImageError.
    """
    with translate_os_errors(directory, IMAGE):
        root = Path(ownership.resolve_links(directory))
        try:
            ownership.make_directory(root)
            root.chmod(_DIRECTORY_MODE)
        except FileExistsError:
            if not root.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(root)) from None
        lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            files.lock_open(lock)
            tree = DirectoryTree(root)
            tree.remove_scratch_files()
            yield tree
        finally:
            os.close(lock)


class DirectoryTree:
    """The files below a directory. Modes do not depend on the umask: they are for a web server to read."""

    def __init__(self, root: Path, fs: files.FileSystem = files.OS) -> None:
        self.root = root
        self._fs = fs

    def list_files(self) -> dict[str, int]:
        """Return the size in bytes of each file below ``v2``."""
        with translate_os_errors(self.root, IMAGE):
            return {
                _url_path(path.relative_to(self.root).as_posix()): path.lstat().st_size
                for path in self._walk()
            }

    def read(self, path: str) -> bytes | None:
        """Return the content of a document of at most 4 MiB, None if there is none."""
        contents = (read_small(file, oci.MAX_DOCUMENT) for file in self._candidates(path))
        return next((data for data in contents if data is not None), None)

    def write(
        self,
        path: str,
        media_type: str,
        chunks: Iterable[bytes],
        *,
        since_read: bool = False,  # noqa: ARG002 - nobody else writes
    ) -> None:
        """Write or replace a file atomically and durably."""
        target = self._target(path, media_type)
        with translate_os_errors(target, IMAGE):
            self._make_directories(target.parent)
            scratch = target.parent / f"{_SCRATCH}{files.scratch_name()}"
            try:
                self._write_scratch(scratch, chunks)
                advance_time(scratch, target)
                self._fs.rename(str(scratch), str(target))
            except BaseException:
                files.unlink_quietly(str(scratch), self._fs)
                raise
            self._fs.sync_directory(str(target.parent))
            # Last: until here, a server can have the old type of the tag.
            for file in self._candidates(path):
                if file != target:
                    self._unlink(file)

    def link(self, source: str, path: str) -> bool:
        """Make a hard link of a blob; return False where the file system has none."""
        target = self.root / path
        with translate_os_errors(target, IMAGE):
            self._make_directories(target.parent)
        try:
            target.hardlink_to(self.root / source)
        except OSError:
            return False
        return True

    def remove(self, path: str) -> None:
        """Remove a file, and the directories that are empty then."""
        with translate_os_errors(self.root, IMAGE):
            for file in self._candidates(path):
                self._unlink(file)
        folder = (self.root / path).parent
        while folder != self.root:
            try:
                folder.rmdir()
            except OSError:
                break
            folder = folder.parent

    def remove_scratch_files(self) -> None:
        """Remove what a publish that was killed left; nobody else is writing."""
        for file in self._walk():
            if file.name.startswith(_SCRATCH):
                self._unlink(file)

    def _walk(self) -> Iterator[Path]:
        for folder, _, names in os.walk(self.root / "v2"):
            yield from (Path(folder, name) for name in names)

    def _unlink(self, file: Path) -> None:
        try:
            self._fs.unlink(str(file))
        except FileNotFoundError:
            pass

    def _write_scratch(self, scratch: Path, chunks: Iterable[bytes]) -> None:
        file = self._fs.create(str(scratch), _FILE_MODE)
        try:
            for chunk in chunks:
                file.write(chunk)
            file.sync()
        finally:
            file.close()
        scratch.chmod(_FILE_MODE)

    def _make_directories(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if folder != self.root:
            self._make_directories(folder.parent)
        try:
            self._fs.make_directory(str(folder))
        except FileExistsError:  # another thread made it
            if not folder.is_dir():
                raise
        folder.chmod(_DIRECTORY_MODE)
        self._fs.sync_directory(str(folder.parent))

    def _target(self, path: str, media_type: str) -> Path:
        suffix = MANIFEST_SUFFIXES.get(media_type, "") if _is_manifest(path) else ""
        return self.root / (path + (_DIRECTORY_INDEX if path.endswith("/") else suffix))

    def _candidates(self, path: str) -> list[Path]:
        """Return the files that a path may be, in the order in which a server looks for them."""
        if _is_manifest(path):
            return [self.root / (path + suffix) for suffix in MANIFEST_SUFFIXES.values()]
        return [self._target(path, "")]


def _is_manifest(path: str) -> bool:
    return path.rpartition("/")[0].endswith("/manifests")


def _url_path(path: str) -> str:
    stem, dot, suffix = path.rpartition(".")
    return stem if _is_manifest(path) and dot + suffix in MANIFEST_SUFFIXES.values() else path
