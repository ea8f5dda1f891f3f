"""Whether the user of the process exists, and what the user may write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.checks.finding import Finding
from pumice.formats.lines import split_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.checks.model import CheckedImage
    from pumice.formats.tar import Entry


class ProcessUser(msgspec.Struct, frozen=True):
    """The numeric user of a process, its groups, and the name to print."""

    uid: int
    gids: frozenset[int]
    name: str

    def can_write(self, entry: Entry) -> bool:
        """Whether the mode of ``entry`` allows the user to write to it."""
        return self.uid == 0 or self._is_allowed(entry, 0o2)

    def can_execute(self, entry: Entry) -> bool:
        """Whether the mode of ``entry`` allows the user to execute the file, or to enter the directory."""
        return bool(entry.mode & 0o111) if self.uid == 0 else self._is_allowed(entry, 0o1)

    def _is_allowed(self, entry: Entry, bit: int) -> bool:
        if entry.uid == self.uid:
            return bool(entry.mode & bit << 6)
        return bool(entry.mode & (bit << 3 if entry.gid in self.gids else bit))


def check_user(image: CheckedImage) -> Iterator[Finding]:
    """Yield a finding if the user or group of the process is a name that the image does not know."""
    for name, file in zip(image.run.user.split(":"), ("/etc/passwd", "/etc/group"), strict=False):
        if name and not _is_number(name) and _look_up(image, file, name) is None:
            kind = "user" if file.endswith("passwd") else "group"
            yield Finding(
                check="user",
                message=f"the image has no {kind} {name!r}",
                hint=f"add it under '{kind}s', or use a number",
                key="run.user",
            )


def process_user(image: CheckedImage) -> ProcessUser | None:
    """Return the user that the process runs as; None if the image does not know the name."""
    name, _, group = image.run.user.partition(":")
    row = _look_up(image, "/etc/passwd", name or "root")
    uid = int(name) if _is_number(name) else _number(row, 2) if name else 0
    if uid is None:
        return None
    primary = _number(row, 3) if row else uid
    if group:
        primary = int(group) if _is_number(group) else _number(_look_up(image, "/etc/group", group), 2)
    gids = {primary}
    user_name = row[0] if row else str(uid)
    for fields in _rows(image, "/etc/group"):
        if len(fields) > 3 and user_name in fields[3].split(","):
            gids.add(_number(fields, 2))
    return ProcessUser(uid, frozenset(gid for gid in gids if gid is not None), user_name)


def _rows(image: CheckedImage, file: str) -> Iterator[list[str]]:
    return (line.split(":") for line in split_lines(image.read_text(file)))


def _look_up(image: CheckedImage, file: str, name: str) -> list[str] | None:
    """Return the row of a name, or of a number."""
    position = 2 if _is_number(name) else 0
    return next((row for row in _rows(image, file) if len(row) > position and row[position] == name), None)


def _number(row: list[str] | None, position: int) -> int | None:
    return int(row[position]) if row and len(row) > position and _is_number(row[position]) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10
