"""Finds the files that a rule of the recipe copies, in an order that does not depend on the machine.

Links are not followed. Names are compared as bytes and must be UTF-8.
"""

from __future__ import annotations

import os
import posixpath
import stat
from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.errors import Problem
from pumice.formats.gitignore import IgnorePatterns
from pumice.packing.patterns import Format1Ignore, component_matches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.recipe.model import FileRule

_MAX_DEPTH = 200
_SPECIAL_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class PlannedEntry(msgspec.Struct):
    """An entry that a rule adds, before its content is read."""

    rule: FileRule
    kind: Literal["file", "dir", "symlink"]
    mode: int
    is_explicit: bool = False
    link: str = ""
    text: bytes | None = None
    source: bytes = b""


class SourceWalk:
    """Finds the files of a rule's source, sorted by the bytes of their names."""

    def __init__(self, rule: FileRule, start: bytes, lock_format: int) -> None:
        self.rule = rule
        self._start = start
        self._ignored = IgnorePatterns(rule.ignore) if lock_format >= 2 else Format1Ignore(rule.ignore)
        self._visited: set[tuple[str, int]] = set()

    def glob(self, directory: bytes, relative: str, patterns: list[str]) -> set[str]:
        """Return the paths below the source that match ``patterns``; links are not followed."""
        pattern, remaining = patterns[0], patterns[1:]
        matches: set[str] = set()
        if (relative, len(patterns)) in self._visited:
            return matches  # several ** can match the same directory
        self._visited.add((relative, len(patterns)))
        if pattern == "**":
            matches |= self.glob(directory, relative, remaining or ["*"])
        for raw_name, status in self._list_directory(directory, relative):
            name = raw_name.decode("utf-8", "surrogateescape")
            is_directory = stat.S_ISDIR(status.st_mode)
            descends = pattern == "**" and is_directory and not name.startswith(".")
            if not descends and not (pattern != "**" and component_matches(name, pattern)):
                continue
            child = os.path.join(directory, raw_name)
            path = posixpath.join(relative, _decode_name(raw_name, child, self.rule))
            if descends:
                matches |= self.glob(child, path, patterns)
            elif not remaining:
                matches.add(path)
            elif is_directory:
                matches |= self.glob(child, path, remaining)
        return matches

    def walk(self, relative: str, destination: str) -> Iterator[tuple[str, PlannedEntry]]:
        """Yield (destination, entry) for ``relative`` and everything below it."""
        pending = [(relative, destination)]
        while pending:
            relative, destination = pending.pop()
            path = os.path.join(self._start, relative.encode()) if relative else self._start
            status = read_status(path, self.rule)
            yield destination, self._plan_entry(path, status)
            if stat.S_ISDIR(status.st_mode):
                names = [
                    _decode_name(raw_name, os.path.join(path, raw_name), self.rule)
                    for raw_name, _ in self._list_directory(path, relative)
                ]
                pending += [
                    (posixpath.join(relative, name), posixpath.join(destination, name))
                    for name in reversed(names)
                ]

    def _list_directory(self, directory: bytes, relative: str) -> list[tuple[bytes, os.stat_result]]:
        """Return (name, status) of the entries of a directory that are not ignored, sorted by name."""
        if relative.count("/") >= _MAX_DEPTH:
            raise rule_problem(self.rule, f"directories are nested more than {_MAX_DEPTH} deep")
        try:
            with os.scandir(directory) as entries:
                named_statuses = sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in entries)
        except OSError as error:
            raise unreadable_problem(directory, error, self.rule) from None
        return [
            (raw_name, status)
            for raw_name, status in named_statuses
            if not self._is_ignored(relative, raw_name, status)
        ]

    def _is_ignored(self, relative: str, raw_name: bytes, status: os.stat_result) -> bool:
        path = posixpath.join(relative, raw_name.decode("utf-8", "surrogateescape"))
        return self._ignored.matches(path, is_directory=stat.S_ISDIR(status.st_mode))

    def _plan_entry(self, path: bytes, status: os.stat_result) -> PlannedEntry:
        rule_mode = self.rule.mode
        is_explicit = rule_mode is not None or bool(self.rule.owner)
        if stat.S_ISLNK(status.st_mode):
            link = _decode_name(os.readlink(path), path, self.rule)
            return PlannedEntry(self.rule, "symlink", 0o777, link=link)
        if stat.S_ISDIR(status.st_mode):
            # The mode of a rule is for files; a directory is searchable by everyone who may read it.
            mode = 0o755 if rule_mode is None else rule_mode & 0o777 | (rule_mode & 0o444) >> 2
            return PlannedEntry(self.rule, "dir", mode, is_explicit)
        if not stat.S_ISREG(status.st_mode):
            kind = _SPECIAL_KINDS.get(stat.S_IFMT(status.st_mode), "a special file")
            raise rule_problem(self.rule, f"{_quote_bytes(path)} is {kind}", "exclude it with 'ignore'")
        default_mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
        return PlannedEntry(
            self.rule, "file", default_mode if rule_mode is None else rule_mode, is_explicit, source=path
        )


def read_status(path: bytes, rule: FileRule) -> os.stat_result:
    """Return the status of a file, not following a link; raises Problem if it cannot be read."""
    try:
        return os.lstat(path)
    except OSError as error:
        raise unreadable_problem(path, error, rule) from None


def _decode_name(raw_name: bytes, path: bytes, rule: FileRule) -> str:
    try:
        return raw_name.decode("utf-8")
    except UnicodeDecodeError:
        hint = "rename it, or exclude it with 'ignore'"
        raise rule_problem(rule, f"the name or link of {_quote_bytes(path)} is not UTF-8", hint) from None


def unreadable_problem(path: bytes, error: OSError, rule: FileRule) -> Problem:
    """Return the problem for a source file that cannot be read."""
    return rule_problem(
        rule, f"cannot read {_quote_bytes(path)}: {(error.strerror or 'unknown error').lower()}"
    )


def _quote_bytes(path: bytes) -> str:
    return repr(path.decode("utf-8", "backslashreplace"))


def rule_problem(rule: FileRule, message: str, hint: str | None = None) -> Problem:
    """Return a problem at the location of ``rule`` in the recipe."""
    return Problem(message, where=rule.where or None, hint=hint)
