"""A file system that records all operations, and the states that a power failure could leave behind.

The model is what POSIX guarantees: content is durable after fsync of its file, a name after fsync of its
directory. Any combination of the other changes may survive.
"""

from __future__ import annotations

import itertools
import os
import random
from typing import TYPE_CHECKING, NamedTuple

from pumice import files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pumice.files import NewFile
    from tests.support.store_workload import Promise


class Operation(NamedTuple):
    """An operation: its path, and its second path, data or file number."""

    kind: str
    path: str = ""
    target: str = ""
    data: bytes = b""
    number: int = 0
    promise: Promise | None = None


class RecordingFileSystem:
    """Performs operations below ``root``, and logs them with relative paths."""

    def __init__(self, root: Path) -> None:
        self.log: list[Operation] = []
        self._root = str(root)
        self._numbers = itertools.count()

    def promise(self, promise: Promise) -> None:
        self.log.append(Operation("promise", promise=promise))

    def create(self, path: str, mode: int = 0o666) -> NewFile:
        file = files.OS.create(path, mode)
        number = next(self._numbers)
        self.log.append(Operation("create", self._name(path), number=number))
        return _RecordedFile(file, self.log, number)

    def rename(self, source: str, target: str) -> None:
        files.OS.rename(source, target)
        self.log.append(Operation("rename", self._name(source), self._name(target)))

    def unlink(self, path: str) -> None:
        files.OS.unlink(path)
        self.log.append(Operation("unlink", self._name(path)))

    def make_directory(self, path: str, mode: int = 0o777) -> None:
        files.OS.make_directory(path, mode)
        self.log.append(Operation("make_directory", self._name(path)))

    def sync_directory(self, path: str) -> None:
        files.OS.sync_directory(path)
        self.log.append(Operation("sync_directory", self._name(path)))

    def _name(self, path: str) -> str:
        return os.path.relpath(path, self._root)


class _RecordedFile:
    def __init__(self, file: NewFile, log: list[Operation], number: int) -> None:
        self._file = file
        self._log = log
        self._number = number

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._file.write(data)
        self._log.append(Operation("write", data=bytes(data), number=self._number))

    def sync(self) -> None:
        self._file.sync()
        self._log.append(Operation("sync", number=self._number))

    def close(self) -> None:
        self._file.close()


class DiskModel:
    """The effect of a log's prefix on an empty directory: what is durable, and what is pending."""

    def __init__(self) -> None:
        self.contents: dict[int, bytes] = {}
        self.synced: dict[int, bytes] = {}
        self.durable: dict[str, dict[str, int | None]] = {".": {}}
        """By directory: names with file numbers, None for a directory."""
        self.pending: dict[str, list[tuple[str, str, int | None]]] = {".": []}
        self.promised: Promise = {}

    def apply(self, operation: Operation) -> None:
        kind, path, number = operation.kind, operation.path, operation.number
        if kind == "create":
            self.contents[number] = b""
            self._change_entry(path, "add", number)
        elif kind == "write":
            self.contents[number] += operation.data
        elif kind == "sync":
            self.synced[number] = self.contents[number]
        elif kind == "rename":
            self._change_entry(operation.target, "add", self._current(path))
            self._change_entry(path, "remove", None)
        elif kind == "unlink":
            self._change_entry(path, "remove", None)
        elif kind == "make_directory":
            self._change_entry(path, "add", None)
            self.durable[path], self.pending[path] = {}, []
        elif kind == "sync_directory":
            self.durable[path] = self._entries_after(path, lambda _: True)
            self.pending[path] = []
        elif operation.promise is not None:
            self.promised |= operation.promise

    def leave(self, target: Path, survives: Callable[[str], bool], lose: Callable[[bytes], bytes]) -> None:
        """Write what is left to ``target``: pending names that survive, and content after ``lose``."""
        self._leave(".", target, survives, lose)

    def _leave(
        self, name: str, target: Path, survives: Callable[[str], bool], lose: Callable[[bytes], bytes]
    ) -> None:
        target.mkdir()
        for entry, number in self._entries_after(name, survives).items():
            if number is None:
                self._leave(os.path.normpath(f"{name}/{entry}"), target / entry, survives, lose)
            else:
                synced, content = self.synced.get(number), self.contents[number]
                (target / entry).write_bytes(content if synced == content else lose(content))

    def _entries_after(self, folder: str, survives: Callable[[str], bool]) -> dict[str, int | None]:
        names = dict(self.durable[folder])
        for change, name, number in self.pending[folder]:
            if survives(folder):
                if change == "add":
                    names[name] = number
                else:
                    names.pop(name, None)
        return names

    def _current(self, path: str) -> int | None:
        folder, name = os.path.split(path)
        return self._entries_after(folder or ".", lambda _: True)[name]

    def _change_entry(self, path: str, change: str, number: int | None) -> None:
        folder, name = os.path.split(path)
        self.pending[folder or "."].append((change, name, number))


def states(log: Sequence[Operation], directory: Path, seed: int) -> list[tuple[Path, Promise]]:
    """Return states that a power failure after ``log`` could leave, with the promises made until then."""
    disk = DiskModel()
    for operation in log:
        disk.apply(operation)
    dice = random.Random(seed)
    policies: list[tuple[Callable[[str], bool], Callable[[bytes], bytes]]] = [
        (lambda _: False, lambda _: b""),
        (lambda _: True, lambda full: full),
        (lambda _: True, lambda _: b""),
        (lambda _: True, lambda full: bytes(len(full))),
        (lambda _: True, lambda full: full[: len(full) // 2]),
        (lambda _: dice.random() < 0.5, lambda full: dice.choice([b"", full, bytes(len(full))])),
        (lambda _: dice.random() < 0.8, lambda full: dice.choice([b"", full, full[:3]])),
    ]
    for number in range(sum(len(names) for folder, names in disk.pending.items() if not _is_scratch(folder))):
        policies.append((_all_but(number), lambda full: full))
        policies.append((_only(number), lambda full: full))
    left_states = []
    for number, (survives, lose) in enumerate(policies):
        disk.leave(directory / str(number), survives, lose)
        left_states.append((directory / str(number), dict(disk.promised)))
    return left_states


def _is_scratch(folder: str) -> bool:
    """Return whether a directory has temporary files; these names are never synced, and none matters."""
    return folder.endswith("/tmp")


def _all_but(number: int) -> Callable[[str], bool]:
    questions = itertools.count()
    return lambda folder: _is_scratch(folder) or next(questions) != number


def _only(number: int) -> Callable[[str], bool]:
    questions = itertools.count()
    return lambda folder: not _is_scratch(folder) and next(questions) == number
