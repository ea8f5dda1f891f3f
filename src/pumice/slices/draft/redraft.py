"""Merges a new draft of a definition into the one that a person has corrected since the last draft.

What was added or removed by hand stays so; of the rest, the new draft decides. The text is edited line by
line, so that comments, scripts and options stay as they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import SliceError
from pumice.formats.yaml import read_document
from pumice.slices.definitions import read_definition
from pumice.slices.draft.text import format_slice
from pumice.slices.model import Essential, PackageSlices, PathRule, Slice
from pumice.slices.values import ValueReader
from pumice.slices.yaml_text import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Item = PathRule | Essential

_FORMAT = "v3"
_ALONE = re.compile(r":\s*(?:\{\s*\})?\s*(?:#.*)?")
_COMMENTS = ("# left out: ", "# note: ")


class Redraft(msgspec.Struct, frozen=True, kw_only=True):
    """A merged definition: its text, what changed in it, and what a person has to decide."""

    text: str
    changes: tuple[str, ...]
    open_questions: tuple[str, ...]


def merge_drafts(name: str, *, base: str, current: str, new: str, file: str) -> Redraft:
    """Return the definition of ``file``, in which what differs between two drafts of a package changes.

    ``base`` is the last draft, ``current`` the text of the file, ``new`` the new draft. Raises SliceError if
    one of them is not a definition of the package.
    """
    merge = _Merge(_read(name, base, "draft"), _read(name, current, file), _read(name, new, "draft"), current)
    return merge.run(_list_comments(base), _list_comments(new), file)


def _read(name: str, text: str, file: str) -> PackageSlices:
    document = read_document(text.encode(), file)
    values = ValueReader()
    definition = read_definition(document.root, name, file, _FORMAT, values)
    problems = [*document.problems, *values.problems]
    if problems:
        raise SliceError(problems)
    return definition


def _list_comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(_COMMENTS)]


class _Merge:
    def __init__(self, old: PackageSlices, edited: PackageSlices, latest: PackageSlices, text: str) -> None:
        self._old = old
        self._edited = edited
        self._latest = latest
        self._lines = text.splitlines()
        self._ending = "\r\n" if "\r\n" in text else "\n"
        self._inserted: dict[int, list[str]] = {}
        self._deleted: set[int] = set()
        self._appended: list[str] = []
        self._changes: list[str] = []
        self._questions: list[str] = []

    def run(self, old_comments: Sequence[str], new_comments: Sequence[str], file: str) -> Redraft:
        for name in sorted(self._latest.slices.keys() | self._old.slices.keys()):
            self._merge_slice(name)
        for number, line in enumerate(self._lines, 1):
            if line in old_comments:
                self._deleted.add(number)
        lines = list(new_comments)
        for number, line in enumerate(self._lines, 1):
            if number not in self._deleted:
                lines.append(line)
            lines += self._inserted.get(number, ())
        text = self._ending.join([*lines, *self._appended]).rstrip() + self._ending
        _read(self._latest.name, text, file)
        return Redraft(text=text, changes=tuple(self._changes), open_questions=tuple(self._questions))

    def _merge_slice(self, name: str) -> None:
        old, edited, latest = (part.slices.get(name) for part in (self._old, self._edited, self._latest))
        if edited is None:
            if old is None and latest is not None:
                copyright_name = f"{self._latest.name}_copyright"
                self._appended += ["", *format_slice(latest, copyright_name)]
                self._changes.append(f"added the slice {name}")
            return
        empty = Slice(self._latest.name, name)
        old, latest = old or empty, latest or empty
        self._merge_items(edited, "contents", _by_path(old), _by_path(edited), _by_path(latest))
        self._merge_items(edited, "essential", _by_name(old), _by_name(edited), _by_name(latest))
        if not (latest.contents or latest.essential):
            self._questions.append(f"the new draft has no slice {name}")

    def _merge_items(
        self,
        item: Slice,
        key: str,
        old: Mapping[str, Item],
        edited: Mapping[str, Item],
        latest: Mapping[str, Item],
    ) -> None:
        for name in sorted(latest.keys() - old.keys() - edited.keys()):
            if self._insert(item, key, name, edited):
                self._changes.append(f"{item.name}: added {name}")
            else:
                self._questions.append(f"{item.name}: the new draft adds {name}")
        for name in sorted((old.keys() - latest.keys()) & edited.keys()):
            present = edited[name]
            is_unchanged = _without_place(old[name]) == _without_place(present)
            if is_unchanged and self._is_inside(present, item) and self._is_alone(present, name):
                self._deleted.add(edited[name].line)
                self._changes.append(f"{item.name}: removed {name}")
            else:
                self._questions.append(f"{item.name}: the new draft has no {name}")

    def _is_alone(self, item: Item, name: str) -> bool:
        """Return whether a line has nothing but this key."""
        line = self._lines[item.line - 1]
        head, rest = line[: item.column - 1], line[item.column - 1 :]
        key = next((form for form in (quote(name), f'"{name}"', f"'{name}'") if rest.startswith(form)), "")
        is_value_empty = _ALONE.fullmatch(rest[len(key) :]) is not None or not rest[len(key) :].strip()
        return bool(key) and head.strip() in ("", "-") and is_value_empty

    def _insert(self, item: Slice, key: str, name: str, edited: Mapping[str, Item]) -> bool:
        """Insert a key after the one that precedes it by name, or as the first of its mapping."""
        own = {other: each for other, each in edited.items() if self._is_inside(each, item)}
        blocks = {other: each for other, each in own.items() if self._starts_line(each)}
        if own and not blocks:
            return False
        if not blocks:
            return self._insert_mapping(item, key, name)
        previous = max((other for other in blocks if other < name), default=max(blocks))
        place = blocks[previous]
        prefix = self._lines[place.line - 1][: place.column - 1]
        ending = "" if "-" in prefix else ":"
        number = self._find_end(place.line, place.column)
        self._inserted.setdefault(number, []).append(f"{prefix}{quote(name)}{ending}")
        return True

    def _insert_mapping(self, item: Slice, key: str, name: str) -> bool:
        line = self._lines[item.line - 1]
        body = self._lines[item.line : self._find_end(item.line, item.column)]
        is_block = line.strip().rstrip(": ") == item.name and not line[: item.column - 1].strip()
        if not is_block or any(re.match(rf"\s+{key}\s*:", other) for other in body):
            return False
        indent = " " * (item.column + 1)
        added = self._inserted.setdefault(item.line, [])
        if f"{indent}{key}:" not in added:
            added.append(f"{indent}{key}:")
        added.insert(added.index(f"{indent}{key}:") + 1, f"{indent}  {quote(name)}:")
        return True

    def _is_inside(self, part: Item, item: Slice) -> bool:
        """Return whether a part is in the slice itself: what a package requires, all its slices have."""
        return item.line < part.line <= self._find_end(item.line, item.column)

    def _starts_line(self, item: Item) -> bool:
        return self._lines[item.line - 1][: item.column - 1].strip() in ("", "-")

    def _find_end(self, line: int, column: int) -> int:
        """Return the last line of what is nested below a key."""
        end = line
        for number in range(line + 1, len(self._lines) + 1):
            text = self._lines[number - 1]
            if text.strip() and len(text) - len(text.lstrip()) < column:
                break
            if text.strip():
                end = number
        return end


def _by_path(item: Slice) -> dict[str, Item]:
    return {rule.path: rule for rule in item.contents}


def _by_name(item: Slice) -> dict[str, Item]:
    return {essential.name: essential for essential in item.essential}


def _without_place(item: Item) -> Item:
    return msgspec.structs.replace(item, line=0, column=0)
