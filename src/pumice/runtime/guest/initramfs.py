"""The files of the virtual machine, as an archive that the kernel unpacks into memory."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import SandboxError
from pumice.formats import cpio
from pumice.runtime.guest.program_start import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

_MAX_SIZE = 2 << 30
_KERNEL_DIRECTORIES = ("proc", "sys", "dev")


class Archive:
    """An archive that is being written to a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._number = 0
        self._links: dict[tuple[int, int], int] = {}
        self._directories: set[str] = set()

    def add(self, path: str, mode: int, content: bytes = b"") -> None:
        """Add a file of root."""
        self._write_header(cpio.Entry(path, mode, size=len(content), number=self._next()))
        self._file.write(content + cpio.padding(len(content)))

    def add_directories(self, path: str) -> None:
        """Add a directory and those above it, unless they were added."""
        for parent in [*reversed(Path(path).parents), Path(path)]:
            if str(parent) != "." and str(parent) not in self._directories:
                self._directories.add(str(parent))
                self.add(str(parent), stat.S_IFDIR | 0o755)

    def add_file(self, path: str, source: str, status: os.stat_result, owner: tuple[int, int, int]) -> None:
        """Add a file of this machine with other owners and modes; devices and sockets are omitted."""
        uid, gid, mode = owner
        mode |= stat.S_IFMT(status.st_mode)
        number, is_link = self._number_of(status)
        entry = cpio.Entry(path, mode, uid, gid, number=number, links=2 if is_link is not None else 1)
        if stat.S_ISDIR(status.st_mode):
            self._directories.add(path)
            self._write_header(entry)
        elif stat.S_ISLNK(status.st_mode):
            target = os.fsencode(os.readlink(source))  # noqa: PTH115 - a Path would normalize it
            self._write_header(_with_size(entry, len(target)))
            self._file.write(target + cpio.padding(len(target)))
        elif stat.S_ISREG(status.st_mode):
            self._copy(entry, source, status.st_size if not is_link else 0)
        elif stat.S_ISFIFO(status.st_mode):
            self._write_header(entry)

    def finish(self) -> int:
        """Write the end, and return the size of the archive."""
        self._file.write(cpio.encode_end())
        self._file.flush()
        return self._file.tell()

    def _copy(self, entry: cpio.Entry, source: str, size: int) -> None:
        self._write_header(_with_size(entry, size))
        if size:
            with open(source, "rb") as file:  # noqa: PTH123 - a path for each of many files takes time
                shutil.copyfileobj(file, self._file, 1 << 20)
            if self._file.tell() > _MAX_SIZE:
                raise SandboxError("the image is too large for the memory of a virtual machine")
        self._file.write(cpio.padding(size))

    def _write_header(self, entry: cpio.Entry) -> None:
        self._file.write(cpio.encode_header(entry))

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _number_of(self, status: os.stat_result) -> tuple[int, bool | None]:
        """Return the number of a file, and whether it is another link; None if it has one link only."""
        if status.st_nlink < 2 or not stat.S_ISREG(status.st_mode):
            return self._next(), None
        key = (status.st_dev, status.st_ino)
        if key in self._links:
            return self._links[key], True
        self._links[key] = self._next()
        return self._links[key], False


def _with_size(entry: cpio.Entry, size: int) -> cpio.Entry:
    return cpio.Entry(
        *(entry.path, entry.mode, entry.uid, entry.gid, size),
        number=entry.number,
        links=entry.links,
    )


def add_tree(
    archive: Archive, tree: Path, target: str, owners: Mapping[str, tuple[int, int, int]], omit: set[str]
) -> None:
    """Add a tree of this machine at ``target`` of the image, but for the paths in ``omit`` and below them.

    ``owners`` are uid, gid and mode by path, where they differ from those of the files.
    """
    archive.add_directories(f"{ROOT[1:]}{target}")
    for path, source, status in _walk(tree, omit):
        owner = owners.get(path) or (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
        archive.add_file(f"{ROOT[1:]}{target}/{path}", source, status, owner)


def _walk(tree: Path, omit: set[str]) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield the paths below a tree, parents first."""
    pending = [""]
    while pending:
        directory = pending.pop()
        with os.scandir(tree / directory) as entries:
            for entry in sorted(entries, key=lambda item: item.name):
                path = f"{directory}/{entry.name}" if directory else entry.name
                if path in omit:
                    continue
                status = entry.stat(follow_symlinks=False)
                yield path, entry.path, status
                if stat.S_ISDIR(status.st_mode):
                    pending.append(path)


def read_owners(path: str) -> dict[str, tuple[int, int, int]]:
    """Return uid, gid and mode by path from the file of a prepared tree."""
    if not path:
        return {}
    text = Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    records = [record.split(" ", 3) for record in text.split("\0")[:-1]]
    return {name: (int(uid), int(gid), int(mode, 8)) for uid, gid, mode, name in records}
