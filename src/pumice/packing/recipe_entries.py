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
from pumice.formats.tar import Entry
from pumice.packing.names import find_name_flaw, quote_path
from pumice.packing.patterns import is_wild
from pumice.packing.source_walk import (
    PlannedEntry,
    SourceWalk,
    read_status,
    rule_problem,
    unreadable_problem,
)
from pumice.recipe.lock import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pumice.recipe.model import FileRule

LARGE_FILE = 1 << 20
"""The size in bytes from which the content of an entry is a path instead of bytes."""

_MAX_ENTRIES = 500_000


class RecipeEntry(msgspec.Struct, frozen=True):
    """An entry, its content (a path for a large file), and the location of its rule in the recipe."""

    entry: Entry
    content: bytes | Path
    location: str
    owner: str = ""


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


def _check_name(path: str, planned: PlannedEntry) -> None:
    flaw = find_name_flaw(path, planned.link)
    if flaw:
        is_copied = bool(planned.rule.source)
        raise ImageError(
            f"cannot add {quote_path(path)} to the image: {flaw}",
            where=planned.rule.where or None,
            hint="rename it, or exclude it with 'ignore'" if is_copied else "use another name in 'to'",
        )


def _create_entry(
    path: str, planned: PlannedEntry, resolve_owner: Callable[[str], tuple[int, int]]
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
            raise RecipeError([unreadable_problem(planned.source, error, rule)]) from None
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
        self.entries: dict[str, PlannedEntry] = {}
        self.problems: list[Problem] = []
        self._root = root

    def add_rule(self, rule: FileRule) -> None:
        """Add the entries of a rule."""
        destination = rule.to.strip("/")
        try:
            if rule.text is not None:
                mode = 0o644 if rule.mode is None else rule.mode
                self._add_planned(destination, PlannedEntry(rule, "file", mode, text=rule.text.encode()))
            elif rule.link:
                self._add_planned(destination, PlannedEntry(rule, "symlink", 0o777, link=rule.link))
            elif rule.directory:
                mode = 0o755 if rule.mode is None else rule.mode
                self._add_planned(destination, PlannedEntry(rule, "dir", mode, is_explicit=True))
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
                        rule_problem(planned.rule, message, f"see {parent_entry.rule.where}")
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
        walk = SourceWalk(rule, start, self._format)
        if fixed_count < len(components):
            matches = sorted(walk.glob(start, "", components[fixed_count:]))
            if not matches:
                raise rule_problem(
                    rule,
                    f"no file matches '{rule.source}'",
                    "start the pattern with '.' to match names that start with a dot",
                )
            for relative in matches:
                self._add_tree(walk, relative, posixpath.join(destination, relative))
            return
        is_directory = stat.S_ISDIR(read_status(start, rule).st_mode)
        if rule.source.endswith("/") and not is_directory:
            raise rule_problem(rule, f"'{rule.source}' is not a directory", "remove the '/' at its end")
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
            raise rule_problem(rule, message, "copy the required files into the directory")
        if not os.path.exists(real_path):
            raise rule_problem(
                rule,
                f"'{'/'.join(components)}' does not exist in the recipe's directory",
                _suggest_name(real_path),
            )
        return real_path

    def _add_tree(self, walk: SourceWalk, relative: str, destination: str) -> None:
        for path, planned in walk.walk(relative, destination):
            if len(self.entries) >= _MAX_ENTRIES:
                raise rule_problem(walk.rule, f"more than {_MAX_ENTRIES} files", "exclude some with 'ignore'")
            self._add_planned(path, planned)

    def _add_planned(self, path: str, planned: PlannedEntry) -> None:
        if not path:
            return
        existing = self.entries.get(path)
        if existing is None or _get_recipe_file(existing.rule) != _get_recipe_file(planned.rule):
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
            raise rule_problem(
                planned.rule, message, f"the other rule is at {existing.rule.where}; keep one of them"
            )


def _is_same_entry(entry: PlannedEntry, other_entry: PlannedEntry) -> bool:
    if (entry.kind, entry.mode, entry.link, entry.rule.owner) != (
        other_entry.kind,
        other_entry.mode,
        other_entry.link,
        other_entry.rule.owner,
    ):
        return False
    return entry.kind != "file" or _hash_content(entry) == _hash_content(other_entry)


def _hash_content(planned: PlannedEntry) -> bytes:
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
        raise unreadable_problem(planned.source, error, planned.rule) from None


def _suggest_name(path: bytes) -> str | None:
    from difflib import get_close_matches

    try:
        names = [os.fsdecode(name) for name in os.listdir(os.path.dirname(path))]
    except OSError:
        return None
    matches = get_close_matches(os.fsdecode(os.path.basename(path)), sorted(names), n=1)
    return f"did you mean '{matches[0]}'?" if matches else None


def _get_recipe_file(rule: FileRule) -> str:
    return rule.where.rsplit(":", 2)[0]
