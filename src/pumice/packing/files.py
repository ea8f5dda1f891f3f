"""The recipe's own files: rules in, entries with their contents out.

Entries say nothing about the machine they were made on: time 0, modes from the owner's ``x`` bit,
sorted by path, names in UTF-8 whatever the locale. Nothing outside the recipe's folder is read.
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
from pumice.packing.names import find_flaw, show_path
from pumice.packing.patterns import FirstIgnore, component_matches, is_wild
from pumice.recipe.lock import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Literal

    from pumice.recipe.model import FileRule

LARGE = 1 << 20
"""Bytes from which a file's content is passed as a path instead of being read."""

_MAX_ENTRIES = 500_000
_MAX_DEPTH = 200
_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Item(msgspec.Struct, frozen=True):
    """An entry to add, its content (for large files where it is), and the rule that asks for it."""

    entry: Entry
    content: bytes | Path
    where: str
    owner: str = ""


class _Planned(msgspec.Struct):
    """What one rule puts at one path, not read yet."""

    rule: FileRule
    kind: Literal["file", "dir", "symlink"]
    mode: int
    stated: bool = False
    link: str = ""
    text: bytes | None = None
    source: bytes = b""


def collect(
    rules: Sequence[FileRule],
    root: Path,
    owners: Callable[[str], tuple[int, int]],
    lock_format: int = FORMAT,
) -> Iterator[Item]:
    """Yield what ``rules`` put into an image, sorted by path, each path once.

    ``root`` is the folder of the main recipe; ``owners`` returns user and group id for an ``owner``
    as the recipe writes it. Folders on the way to a path are not made up here.
    Raises RecipeError with every problem found: sources that are missing, unreadable, special or
    outside the recipe's folder, and rules that do not agree about a path. Raises ImageError for a
    name that an image layer cannot hold.
    """
    plan = _Plan(os.fsencode(root), lock_format)
    for rule in rules:
        plan.add(rule)
    plan.check_parents()
    if plan.problems:
        raise RecipeError(plan.problems)
    for path in sorted(plan.entries):
        _check_name(path, plan.entries[path])
    for path in sorted(plan.entries):
        yield _item(path, plan.entries[path], owners)


def _check_name(path: str, planned: _Planned) -> None:
    flaw = find_flaw(path, planned.link)
    if flaw:
        is_copied = bool(planned.rule.source)
        raise ImageError(
            f"cannot add {show_path(path)} to the image: {flaw}",
            where=planned.rule.where or None,
            hint="rename it, or leave it out with 'ignore'" if is_copied else "give it another name in 'to'",
        )


def _item(path: str, planned: _Planned, owners: Callable[[str], tuple[int, int]]) -> Item:
    rule = planned.rule
    uid, gid = owners(rule.owner) if rule.owner else (0, 0)
    text = planned.text or b""
    content: bytes | Path = text
    size = len(text)
    if planned.source:
        try:
            content, size = _read(planned.source)
        except OSError as error:
            raise RecipeError([_unreadable(planned.source, error, rule)]) from None
    entry = Entry(path, planned.kind, planned.mode, uid, gid, 0, size, planned.link)
    return Item(entry, content, rule.where, rule.owner)


def _read(path: bytes) -> tuple[bytes | Path, int]:
    """Return a file's content, or its path if it is large, with its size."""
    # What was a file when it was looked at must not have become a link or a pipe since.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(path, flags), "rb") as file:
        facts = os.fstat(file.fileno())
        if facts.st_size >= LARGE:
            return Path(os.fsdecode(path)), facts.st_size
        content = file.read(LARGE)
    return content, len(content)


class _Plan:
    """Paths to what the rules put there; ``problems`` grows as rules are added."""

    def __init__(self, root: bytes, lock_format: int) -> None:
        self._format = lock_format
        self.entries: dict[str, _Planned] = {}
        self.problems: list[Problem] = []
        self._root = root

    def add(self, rule: FileRule) -> None:
        """Add what one rule asks for."""
        to = rule.to.strip("/")
        try:
            if rule.text is not None:
                mode = 0o644 if rule.mode is None else rule.mode
                self._put(to, _Planned(rule, "file", mode, text=rule.text.encode()))
            elif rule.link:
                self._put(to, _Planned(rule, "symlink", 0o777, link=rule.link))
            elif rule.directory:
                mode = 0o755 if rule.mode is None else rule.mode
                self._put(to, _Planned(rule, "dir", mode, stated=True))
            else:
                self._copy(rule, to)
        except Problem as problem:
            self.problems.append(problem)

    def check_parents(self) -> None:
        """Note every path that lies under something that is not a folder."""
        for path, planned in sorted(self.entries.items()):
            parent = posixpath.dirname(path)
            while parent:
                above = self.entries.get(parent)
                if above is not None and above.kind != "dir":
                    kind = "a link" if above.kind == "symlink" else "a file"
                    message = f"'/{path}' lies under '/{parent}', which is {kind}"
                    self.problems.append(_problem(planned.rule, message, f"see {above.rule.where}"))
                    break
                parent = posixpath.dirname(parent)

    def _copy(self, rule: FileRule, to: str) -> None:
        base = os.path.join(self._root, rule.base_dir.encode()) if rule.base_dir else self._root
        parts = [part for part in rule.source.split("/") if part not in ("", ".")]
        fixed = next((i for i, part in enumerate(parts) if is_wild(part)), len(parts))
        start = self._inside(base, parts[:fixed], rule)
        walk = _Walk(rule, start, self._format)
        if fixed < len(parts):
            found = sorted(walk.glob(start, "", parts[fixed:]))
            if not found:
                raise _problem(
                    rule,
                    f"nothing matches '{rule.source}'",
                    "a name that begins with a dot needs a pattern that does",
                )
            for relative in found:
                self._put_all(walk, relative, posixpath.join(to, relative))
            return
        is_folder = stat.S_ISDIR(_facts(start, rule).st_mode)
        if rule.source.endswith("/") and not is_folder:
            raise _problem(rule, f"'{rule.source}' is not a folder", "remove the '/' at its end")
        into = rule.to.endswith("/") and parts
        if into and not (is_folder and (not to or rule.source.endswith("/"))):
            to = posixpath.join(to, parts[-1])
        self._put_all(walk, "", to)

    def _inside(self, base: bytes, parts: list[str], rule: FileRule) -> bytes:
        """Return the real path of ``parts`` in ``base``; what leads out of it is refused."""
        wanted = os.path.join(base, *(part.encode() for part in parts))
        limit, real = os.path.realpath(base), os.path.realpath(wanted)
        if real != limit and not real.startswith(limit.rstrip(b"/") + b"/"):
            message = f"'{rule.source}' leads out of the recipe's folder"
            raise _problem(rule, message, "copy what it needs into the folder")
        if not os.path.exists(real):
            raise _problem(rule, f"there is no '{'/'.join(parts)}' in the recipe's folder", _near(real))
        return real

    def _put_all(self, walk: _Walk, relative: str, to: str) -> None:
        for path, planned in walk.tree(relative, to):
            if len(self.entries) >= _MAX_ENTRIES:
                raise _problem(walk.rule, f"more than {_MAX_ENTRIES} files", "leave some out with 'ignore'")
            self._put(path, planned)

    def _put(self, path: str, planned: _Planned) -> None:
        if not path:
            return
        there = self.entries.get(path)
        if there is None or _file_of(there.rule) != _file_of(planned.rule):
            # What extends another recipe comes after it and has the last word.
            keep = there is not None and there.stated and planned.kind == "dir" and not planned.stated
            if there is None or not keep:
                self.entries[path] = planned
        elif there.kind == planned.kind == "dir" and there.stated != planned.stated:
            self.entries[path] = there if there.stated else planned
        elif not _same(there, planned):
            message = f"'/{path}' is something else in another rule"
            raise _problem(planned.rule, message, f"the other one is at {there.rule.where}; keep one of them")


class _Walk:
    """Finds the files below one rule's source, in the order of their names' bytes."""

    def __init__(self, rule: FileRule, start: bytes, lock_format: int) -> None:
        self.rule = rule
        self._start = start
        self._ignored = IgnorePatterns(rule.ignore) if lock_format >= 2 else FirstIgnore(rule.ignore)
        self._visited: set[tuple[str, int]] = set()

    def glob(self, folder: bytes, relative: str, patterns: list[str]) -> set[str]:
        """Return the paths below ``start`` that match; no link is followed on the way."""
        pattern, rest = patterns[0], patterns[1:]
        found: set[str] = set()
        if (relative, len(patterns)) in self._visited:
            return found  # several ** lead to one place by many ways
        self._visited.add((relative, len(patterns)))
        if pattern == "**":
            found |= self.glob(folder, relative, rest or ["*"])
        for raw, facts in self._list(folder, relative):
            name = raw.decode("utf-8", "surrogateescape")
            is_folder = stat.S_ISDIR(facts.st_mode)
            descends = pattern == "**" and is_folder and not name.startswith(".")
            if not descends and not (pattern != "**" and component_matches(name, pattern)):
                continue
            below = os.path.join(folder, raw)
            path = posixpath.join(relative, _utf8(raw, below, self.rule))
            if descends:
                found |= self.glob(below, path, patterns)
            elif not rest:
                found.add(path)
            elif is_folder:
                found |= self.glob(below, path, rest)
        return found

    def tree(self, relative: str, to: str) -> Iterator[tuple[str, _Planned]]:
        """Yield what is at ``relative`` and below it, with where it goes."""
        pending = [(relative, to)]
        while pending:
            relative, to = pending.pop()
            path = os.path.join(self._start, relative.encode()) if relative else self._start
            facts = _facts(path, self.rule)
            yield to, self._planned(path, facts)
            if stat.S_ISDIR(facts.st_mode):
                names = [
                    _utf8(raw, os.path.join(path, raw), self.rule) for raw, _ in self._list(path, relative)
                ]
                pending += [
                    (posixpath.join(relative, name), posixpath.join(to, name)) for name in reversed(names)
                ]

    def _list(self, folder: bytes, relative: str) -> list[tuple[bytes, os.stat_result]]:
        """Return what is in a folder and not ignored, sorted by name."""
        if relative.count("/") >= _MAX_DEPTH:
            raise _problem(self.rule, f"folders are nested more than {_MAX_DEPTH} deep")
        try:
            with os.scandir(folder) as entries:
                listed = sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in entries)
        except OSError as error:
            raise _unreadable(folder, error, self.rule) from None
        return [(raw, facts) for raw, facts in listed if not self._is_ignored(relative, raw, facts)]

    def _is_ignored(self, relative: str, raw: bytes, facts: os.stat_result) -> bool:
        path = posixpath.join(relative, raw.decode("utf-8", "surrogateescape"))
        return self._ignored(path, is_directory=stat.S_ISDIR(facts.st_mode))

    def _planned(self, path: bytes, facts: os.stat_result) -> _Planned:
        given = self.rule.mode
        stated = given is not None or bool(self.rule.owner)
        if stat.S_ISLNK(facts.st_mode):
            link = _utf8(os.readlink(path), path, self.rule)
            return _Planned(self.rule, "symlink", 0o777, link=link)
        if stat.S_ISDIR(facts.st_mode):
            # A mode is meant for files; who may read a folder may also enter it.
            mode = 0o755 if given is None else given & 0o777 | (given & 0o444) >> 2
            return _Planned(self.rule, "dir", mode, stated)
        if not stat.S_ISREG(facts.st_mode):
            what = _SPECIAL.get(stat.S_IFMT(facts.st_mode), "a special file")
            raise _problem(self.rule, f"{_shown(path)} is {what}", "leave it out with 'ignore'")
        normal = 0o755 if facts.st_mode & stat.S_IXUSR else 0o644
        return _Planned(self.rule, "file", normal if given is None else given, stated, source=path)


def _same(one: _Planned, other: _Planned) -> bool:
    if (one.kind, one.mode, one.link, one.rule.owner) != (
        other.kind,
        other.mode,
        other.link,
        other.rule.owner,
    ):
        return False
    return one.kind != "file" or _content(one) == _content(other)


def _content(planned: _Planned) -> bytes:
    """Return a digest of what will be there: two rules for one path are rare."""
    import hashlib

    if planned.text is not None:
        return hashlib.sha256(planned.text).digest()
    try:
        content, _ = _read(planned.source)
        if isinstance(content, bytes):
            return hashlib.sha256(content).digest()
        with content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise _unreadable(planned.source, error, planned.rule) from None


def _facts(path: bytes, rule: FileRule) -> os.stat_result:
    try:
        return os.lstat(path)
    except OSError as error:
        raise _unreadable(path, error, rule) from None


def _utf8(raw: bytes, path: bytes, rule: FileRule) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        hint = "rename it, or leave it out with 'ignore'"
        raise _problem(rule, f"the name or link of {_shown(path)} is not UTF-8", hint) from None


def _near(path: bytes) -> str | None:
    from difflib import get_close_matches

    try:
        names = [os.fsdecode(name) for name in os.listdir(os.path.dirname(path))]
    except OSError:
        return None
    close = get_close_matches(os.fsdecode(os.path.basename(path)), sorted(names), n=1)
    return f"did you mean '{close[0]}'?" if close else None


def _unreadable(path: bytes, error: OSError, rule: FileRule) -> Problem:
    return _problem(rule, f"{_shown(path)} cannot be read ({(error.strerror or 'unknown').lower()})")


def _shown(path: bytes) -> str:
    return repr(path.decode("utf-8", "backslashreplace"))


def _problem(rule: FileRule, message: str, hint: str | None = None) -> Problem:
    return Problem(message, where=rule.where or None, hint=hint)


def _file_of(rule: FileRule) -> str:
    return rule.where.rsplit(":", 2)[0]
