"""Resolves the ``files`` rules of a recipe into entries with contents.

Entries do not depend on the machine: the time is 0, the mode follows the owner's ``x`` bit, entries are
sorted by path, and names are UTF-8 in every locale. Nothing outside the recipe's directory is read.
"""

from __future__ import annotations

import os
import posixpath
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import ImageError, Problem, RecipeError
from pumice.formats.gitignore import IgnorePatterns
from pumice.formats.tar import Entry
from pumice.packing.names import find_name_flaw, quote_path
from pumice.packing.patterns import Format1Ignore, component_matches, is_wild
from pumice.recipe.lock import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Literal

    from pumice.recipe.model import FileRule

LARGE_FILE = 1 << 20
"""The size in bytes from which the content of an entry is a path instead of bytes."""

_MAX_ENTRIES = 500_000
_MAX_DEPTH = 200
_SPECIAL_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class RecipeEntry(msgspec.Struct, frozen=True):
    """An entry, its content (a path for a large file), and the location of its rule in the recipe."""

    entry: Entry
    content: bytes | Path
    location: str
    owner: str = ""


class _PlannedEntry(msgspec.Struct):
    """An entry that a rule adds, before its content is read."""

    rule: FileRule
    kind: Literal["file", "dir", "symlink"]
    mode: int
    is_explicit: bool = False
    link: str = ""
    text: bytes | None = None
    source: bytes = b""


def collect_entries(
    rules: Sequence[FileRule],
    root: Path,
    resolve_owner: Callable[[str], tuple[int, int]],
    lock_format: int = FORMAT,
) -> Iterator[RecipeEntry]:
    """Yield the entries of ``rules``, sorted by path, each path once.

    ``root`` is the directory of the main recipe. ``resolve_owner`` returns (uid, gid) of an ``owner``
    as written in the recipe. Missing parent directories are not added.

    Raises RecipeError with all problems: sources that are missing, unreadable, special files or
    outside the recipe's directory, and conflicting rules. Raises ImageError for a name that a layer
    cannot hold.
    """
    plan = _Plan(os.fsencode(root), lock_format)
    for rule in rules:
        plan.add_rule(rule)
    plan.check_parents()
    if plan.problems:
        raise RecipeError(plan.problems)
    for path in sorted(plan.entries):
        _check_name(path, plan.entries[path])
    for path in sorted(plan.entries):
        yield _create_entry(path, plan.entries[path], resolve_owner)


def _check_name(path: str, planned: _PlannedEntry) -> None:
    flaw = find_name_flaw(path, planned.link)
    if flaw:
        is_copied = bool(planned.rule.source)
        raise ImageError(
            f"cannot add {quote_path(path)} to the image: {flaw}",
            where=planned.rule.where or None,
            hint="rename it, or exclude it with 'ignore'" if is_copied else "use another name in 'to'",
        )


def _create_entry(
    path: str, planned: _PlannedEntry, resolve_owner: Callable[[str], tuple[int, int]]
) -> RecipeEntry:
    rule = planned.rule
    uid, gid = resolve_owner(rule.owner) if rule.owner else (0, 0)
    text = planned.text or b""
    content: bytes | Path = text
    size = len(text)
    if planned.source:
        try:
            content, size = _read_file(planned.source)
        except OSError as error:
            raise RecipeError([_unreadable_problem(planned.source, error, rule)]) from None
    entry = Entry(path, planned.kind, planned.mode, uid, gid, 0, size, planned.link)
    return RecipeEntry(entry, content, rule.where, rule.owner)


def _read_file(path: bytes) -> tuple[bytes | Path, int]:
    """Return the content of a file, or its path if it is large, and its size in bytes."""
    # The file may have been replaced by a link or a pipe since it was examined.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(path, flags), "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_size >= LARGE_FILE:
            return Path(os.fsdecode(path)), status.st_size
        content = file.read(LARGE_FILE)
    return content, len(content)


class _Plan:
    """Entries by path; `add_rule` appends to ``problems`` instead of raising an error."""

    def __init__(self, root: bytes, lock_format: int) -> None:
        self._format = lock_format
        self.entries: dict[str, _PlannedEntry] = {}
        self.problems: list[Problem] = []
        self._root = root

    def add_rule(self, rule: FileRule) -> None:
        """Add the entries of a rule."""
        destination = rule.to.strip("/")
        try:
            if rule.text is not None:
                mode = 0o644 if rule.mode is None else rule.mode
                self._add_planned(destination, _PlannedEntry(rule, "file", mode, text=rule.text.encode()))
            elif rule.link:
                self._add_planned(destination, _PlannedEntry(rule, "symlink", 0o777, link=rule.link))
            elif rule.directory:
                mode = 0o755 if rule.mode is None else rule.mode
                self._add_planned(destination, _PlannedEntry(rule, "dir", mode, is_explicit=True))
            else:
                self._add_copy(rule, destination)
        except Problem as problem:
            self.problems.append(problem)

    def check_parents(self) -> None:
        """Report every path whose parent is not a directory."""
        for path, planned in sorted(self.entries.items()):
            parent = posixpath.dirname(path)
            while parent:
                parent_entry = self.entries.get(parent)
                if parent_entry is not None and parent_entry.kind != "dir":
                    kind = "a link" if parent_entry.kind == "symlink" else "a file"
                    message = f"cannot add '/{path}': '/{parent}' is {kind}"
                    self.problems.append(
                        _rule_problem(planned.rule, message, f"see {parent_entry.rule.where}")
                    )
                    break
                parent = posixpath.dirname(parent)

    def _add_copy(self, rule: FileRule, destination: str) -> None:
        base = os.path.join(self._root, rule.base_dir.encode()) if rule.base_dir else self._root
        components = [component for component in rule.source.split("/") if component not in ("", ".")]
        fixed_count = next(
            (position for position, component in enumerate(components) if is_wild(component)), len(components)
        )
        start = self._resolve_inside(base, components[:fixed_count], rule)
        walk = _SourceWalk(rule, start, self._format)
        if fixed_count < len(components):
            matches = sorted(walk.glob(start, "", components[fixed_count:]))
            if not matches:
                raise _rule_problem(
                    rule,
                    f"no file matches '{rule.source}'",
                    "start the pattern with '.' to match names that start with a dot",
                )
            for relative in matches:
                self._add_tree(walk, relative, posixpath.join(destination, relative))
            return
        is_directory = stat.S_ISDIR(_file_status(start, rule).st_mode)
        if rule.source.endswith("/") and not is_directory:
            raise _rule_problem(rule, f"'{rule.source}' is not a directory", "remove the '/' at its end")
        appends_name = rule.to.endswith("/") and components
        if appends_name and not (is_directory and (not destination or rule.source.endswith("/"))):
            destination = posixpath.join(destination, components[-1])
        self._add_tree(walk, "", destination)

    def _resolve_inside(self, base: bytes, components: list[str], rule: FileRule) -> bytes:
        """Return the real path of ``components`` in ``base``; raise a Problem if it is outside."""
        requested_path = os.path.join(base, *(component.encode() for component in components))
        base_path, real_path = os.path.realpath(base), os.path.realpath(requested_path)
        if real_path != base_path and not real_path.startswith(base_path.rstrip(b"/") + b"/"):
            message = f"'{rule.source}' is outside the recipe's directory"
            raise _rule_problem(rule, message, "copy the required files into the directory")
        if not os.path.exists(real_path):
            raise _rule_problem(
                rule,
                f"'{'/'.join(components)}' does not exist in the recipe's directory",
                _suggest_name(real_path),
            )
        return real_path

    def _add_tree(self, walk: _SourceWalk, relative: str, destination: str) -> None:
        for path, planned in walk.walk(relative, destination):
            if len(self.entries) >= _MAX_ENTRIES:
                raise _rule_problem(
                    walk.rule, f"more than {_MAX_ENTRIES} files", "exclude some with 'ignore'"
                )
            self._add_planned(path, planned)

    def _add_planned(self, path: str, planned: _PlannedEntry) -> None:
        if not path:
            return
        existing = self.entries.get(path)
        if existing is None or _recipe_file(existing.rule) != _recipe_file(planned.rule):
            # A recipe that extends another comes after it and overrides it.
            keeps_existing = (
                existing is not None
                and existing.is_explicit
                and planned.kind == "dir"
                and not planned.is_explicit
            )
            if existing is None or not keeps_existing:
                self.entries[path] = planned
        elif existing.kind == planned.kind == "dir" and existing.is_explicit != planned.is_explicit:
            self.entries[path] = existing if existing.is_explicit else planned
        elif not _is_same_entry(existing, planned):
            message = f"two rules add different entries at '/{path}'"
            raise _rule_problem(
                planned.rule, message, f"the other rule is at {existing.rule.where}; keep one of them"
            )


class _SourceWalk:
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

    def walk(self, relative: str, destination: str) -> Iterator[tuple[str, _PlannedEntry]]:
        """Yield (destination, entry) for ``relative`` and everything below it."""
        pending = [(relative, destination)]
        while pending:
            relative, destination = pending.pop()
            path = os.path.join(self._start, relative.encode()) if relative else self._start
            status = _file_status(path, self.rule)
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
            raise _rule_problem(self.rule, f"directories are nested more than {_MAX_DEPTH} deep")
        try:
            with os.scandir(directory) as entries:
                named_statuses = sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in entries)
        except OSError as error:
            raise _unreadable_problem(directory, error, self.rule) from None
        return [
            (raw_name, status)
            for raw_name, status in named_statuses
            if not self._is_ignored(relative, raw_name, status)
        ]

    def _is_ignored(self, relative: str, raw_name: bytes, status: os.stat_result) -> bool:
        path = posixpath.join(relative, raw_name.decode("utf-8", "surrogateescape"))
        return self._ignored.matches(path, is_directory=stat.S_ISDIR(status.st_mode))

    def _plan_entry(self, path: bytes, status: os.stat_result) -> _PlannedEntry:
        rule_mode = self.rule.mode
        is_explicit = rule_mode is not None or bool(self.rule.owner)
        if stat.S_ISLNK(status.st_mode):
            link = _decode_name(os.readlink(path), path, self.rule)
            return _PlannedEntry(self.rule, "symlink", 0o777, link=link)
        if stat.S_ISDIR(status.st_mode):
            # The mode of a rule is for files; a directory is searchable by everyone who may read it.
            mode = 0o755 if rule_mode is None else rule_mode & 0o777 | (rule_mode & 0o444) >> 2
            return _PlannedEntry(self.rule, "dir", mode, is_explicit)
        if not stat.S_ISREG(status.st_mode):
            kind = _SPECIAL_KINDS.get(stat.S_IFMT(status.st_mode), "a special file")
            raise _rule_problem(self.rule, f"{_quote_path(path)} is {kind}", "exclude it with 'ignore'")
        default_mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
        return _PlannedEntry(
            self.rule, "file", default_mode if rule_mode is None else rule_mode, is_explicit, source=path
        )


def _is_same_entry(entry: _PlannedEntry, other_entry: _PlannedEntry) -> bool:
    if (entry.kind, entry.mode, entry.link, entry.rule.owner) != (
        other_entry.kind,
        other_entry.mode,
        other_entry.link,
        other_entry.rule.owner,
    ):
        return False
    return entry.kind != "file" or _content_digest(entry) == _content_digest(other_entry)


def _content_digest(planned: _PlannedEntry) -> bytes:
    """Return the SHA-256 digest of an entry's content, to compare two rules for one path."""
    import hashlib

    if planned.text is not None:
        return hashlib.sha256(planned.text).digest()
    try:
        content, _ = _read_file(planned.source)
        if isinstance(content, bytes):
            return hashlib.sha256(content).digest()
        with content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise _unreadable_problem(planned.source, error, planned.rule) from None


def _file_status(path: bytes, rule: FileRule) -> os.stat_result:
    try:
        return os.lstat(path)
    except OSError as error:
        raise _unreadable_problem(path, error, rule) from None


def _decode_name(raw_name: bytes, path: bytes, rule: FileRule) -> str:
    try:
        return raw_name.decode("utf-8")
    except UnicodeDecodeError:
        hint = "rename it, or exclude it with 'ignore'"
        raise _rule_problem(rule, f"the name or link of {_quote_path(path)} is not UTF-8", hint) from None


def _suggest_name(path: bytes) -> str | None:
    from difflib import get_close_matches

    try:
        names = [os.fsdecode(name) for name in os.listdir(os.path.dirname(path))]
    except OSError:
        return None
    matches = get_close_matches(os.fsdecode(os.path.basename(path)), sorted(names), n=1)
    return f"did you mean '{matches[0]}'?" if matches else None


def _unreadable_problem(path: bytes, error: OSError, rule: FileRule) -> Problem:
    return _rule_problem(
        rule, f"cannot read {_quote_path(path)}: {(error.strerror or 'unknown error').lower()}"
    )


def _quote_path(path: bytes) -> str:
    return repr(path.decode("utf-8", "backslashreplace"))


def _rule_problem(rule: FileRule, message: str, hint: str | None = None) -> Problem:
    return Problem(message, where=rule.where or None, hint=hint)


def _recipe_file(rule: FileRule) -> str:
    return rule.where.rsplit(":", 2)[0]
