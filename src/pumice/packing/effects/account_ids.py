"""The ids of users and groups, as account files have them and as commands name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.formats.lines import split_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pumice.packing.tree import Tree

_MAX_FILE = 1 << 20
_MAX_ID = (1 << 32) - 2


class AccountIds(msgspec.Struct, frozen=True):
    """The ids of an image: of each user with the primary group, and of each group.

    The methods take a name or a number, and raise ValueError for what is neither.
    """

    users: Mapping[str, tuple[int, int]]
    groups: Mapping[str, int]

    def find_user(self, text: str) -> int:
        """Return the id of a user."""
        number = parse_id(text)
        return self._look_up(text)[0] if number is None else number

    def find_group(self, text: str) -> int:
        """Return the id of a group."""
        number = parse_id(text)
        if number is not None:
            return number
        if text not in self.groups:
            raise ValueError(text)
        return self.groups[text]

    def parse_owner(self, text: str) -> tuple[int | None, int | None]:
        """Return the ids of ``USER``, ``USER:GROUP``, ``:GROUP`` or ``USER:``, None for what is not named.

        ``USER:`` includes the primary group of the user, if that is a name (chown(1)).
        """
        user, colon, group = text.partition(":")
        if not colon and "." in text and user not in self.users:
            user, colon, group = text.partition(".")
        uid = self.find_user(user) if user else None
        if group:
            return uid, self.find_group(group)
        has_primary_group = bool(user and colon) and parse_id(user) is None
        return uid, self._look_up(user)[1] if has_primary_group else None

    def _look_up(self, name: str) -> tuple[int, int]:
        if name not in self.users:
            raise ValueError(name)
        return self.users[name]


def parse_id(text: str | None) -> int | None:
    """Return the id that a text is, None if it is none."""
    if not text or not (text.isascii() and text.isdecimal()) or len(text) > 10:
        return None
    return int(text) if int(text) <= _MAX_ID else None


def read_account_ids(tree: Tree) -> AccountIds:
    """Return the ids in the account files of an image."""
    users = {"root": (0, 0)}
    users |= {row[0]: (int(row[2]), int(row[3])) for row in _read_account_rows(tree, "etc/passwd", (2, 3))}
    groups = {row[0]: int(row[2]) for row in _read_account_rows(tree, "etc/group", (2,))}
    return AccountIds(users, {"root": 0} | groups)


def _read_account_rows(tree: Tree, path: str, numbers: tuple[int, ...]) -> Iterable[list[str]]:
    """Yield the rows of an account file, skipping malformed ones: a package may ship any content."""
    node = tree.get(path)
    if node is None or node.entry.kind != "file" or node.entry.size > _MAX_FILE:
        return
    for line in split_lines(tree.read(path).decode("utf-8", "replace")):
        row = line.split(":")
        if len(row) > max(numbers) and all(parse_id(row[index]) is not None for index in numbers):
            yield row
