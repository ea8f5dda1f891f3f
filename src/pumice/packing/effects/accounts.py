"""Users and groups that are asked for, and the commands that ask for them.

adduser(8), addgroup(8), useradd(8), groupadd(8), usermod(8), gpasswd(1) and sysusers.d(5).
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import msgspec

from pumice.packing.effects.scripts import command_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.packing.effects.scripts.action import ScriptAction
    from pumice.packing.effects.scripts.scope import Value
    from pumice.packing.tree import Tree

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_NOLOGIN = "/usr/sbin/nologin"
_MAX_FILE = 1 << 20
_MAX_ID = (1 << 32) - 2
_NOWHERE = "/nonexistent"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A user that somebody wants; ``group`` is its primary group, by name or number."""

    name: str
    uid: int | None = None
    group: str = ""
    home: str = _NOWHERE
    shell: str = _NOLOGIN
    comment: str = ""
    make_home: bool = False


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Users, groups (with their id if it is given) and memberships (user, group)."""

    users: tuple[Account, ...] = ()
    groups: tuple[tuple[str, int | None], ...] = ()
    members: tuple[tuple[str, str], ...] = ()
    homes: tuple[tuple[str, str], ...] = ()
    """Changes to a user's home directory that come later (``usermod -d``)."""


_VALUES = [
    "home",
    "uid",
    "gid",
    "shell",
    "gecos",
    "comment",
    "ingroup",
    "firstuid",
    "lastuid",
    "firstgid",
    "lastgid",
    "conf",
    "add_extra_groups",
    "base-dir",
    "home-dir",
    "expiredate",
    "inactive",
    "groups",
    "key",
    "password",
    "root",
    "prefix",
    "skel",
    "user",
]
_ADDUSER = (*_VALUES, "G")
_USERADD = (*_VALUES, *"bcdefgGkKpRPsu")


def from_command(action: ScriptAction) -> Wanted | None:
    """Return what a command asks for; None if it is another command or cannot be understood."""
    words = action.words
    name = (words[0] or "").rpartition("/")[2] if words else ""
    parser = _COMMANDS.get(name)
    line = (
        command_line.parse_command_line(words[1:], _ADDUSER if name in ("adduser", "addgroup") else _USERADD)
        if parser
        else None
    )
    if parser is None or line is None:
        return None
    wanted = parser(line)
    return wanted if wanted is not None and sound(wanted) else None


def is_command(words: Sequence[Value]) -> bool:
    """Whether a command adds accounts at all."""
    return bool(words) and (words[0] or "").rpartition("/")[2] in _COMMANDS


def _adduser(line: command_line.CommandLine) -> Wanted | None:
    if len(line.operands) == 2:
        return Wanted(members=((line.operands[0], line.operands[1]),))
    if len(line.operands) != 1:
        return None
    name, values = line.operands[0], line.values
    if "group" in line.flags and not line.flags & {"system"}:
        return _addgroup(line)
    own = "group" in line.flags or ("system" not in line.flags and "ingroup" not in values)
    group = name if own else values.get("ingroup") or values.get("gid") or "nogroup"
    system = "system" in line.flags
    home = values.get("home") or (_NOWHERE if system else f"/home/{name}")
    user = Account(
        name=name,
        uid=_number(values.get("uid")),
        group=group,
        home=home,
        shell=values.get("shell") or (_NOLOGIN if system else "/bin/bash"),
        comment=(values.get("gecos") or values.get("comment") or "").rstrip(","),
        make_home="no-create-home" not in line.flags and not home.startswith(_NOWHERE),
    )
    groups = ((name, _number(values.get("gid"))),) if own else ()
    return Wanted(users=(user,), groups=groups)


def _addgroup(line: command_line.CommandLine) -> Wanted | None:
    if len(line.operands) == 2:
        return Wanted(members=((line.operands[0], line.operands[1]),))
    if len(line.operands) != 1:
        return None
    return Wanted(groups=((line.operands[0], _number(line.values.get("gid"))),))


def _groupadd(line: command_line.CommandLine) -> Wanted | None:
    if len(line.operands) != 1:
        return None
    return Wanted(groups=((line.operands[0], _number(line.values.get("g") or line.values.get("gid"))),))


def _useradd(line: command_line.CommandLine) -> Wanted | None:
    if len(line.operands) != 1:
        return None
    name, values = line.operands[0], line.values
    given = values.get("g") or values.get("gid") or ""
    home = values.get("d") or values.get("home-dir") or values.get("home") or f"/home/{name}"
    user = Account(
        name=name,
        uid=_number(values.get("u") or values.get("uid")),
        group=given or name,
        home=home,
        shell=values.get("s") or values.get("shell") or "/bin/sh",
        comment=values.get("c") or values.get("comment") or "",
        make_home=bool(line.flags & {"m", "create-home"}),
    )
    more = values.get("G") or values.get("groups") or ""
    members = tuple((name, group) for group in more.split(",") if group)
    return Wanted(users=(user,), groups=() if given else ((name, None),), members=members)


def _usermod(line: command_line.CommandLine) -> Wanted | None:
    if len(line.operands) != 1:
        return None
    name = line.operands[0]
    more = line.values.get("G") or line.values.get("groups") or ""
    home = line.values.get("d") or line.values.get("home") or ""
    return Wanted(
        members=tuple((name, group) for group in more.split(",") if group),
        homes=((name, home),) if home else (),
    )


def _gpasswd(line: command_line.CommandLine) -> Wanted | None:
    if "a" in line.flags and len(line.operands) == 2:
        return Wanted(members=((line.operands[0], line.operands[1]),))
    return None


_COMMANDS = {
    "adduser": _adduser,
    "addgroup": _addgroup,
    "useradd": _useradd,
    "groupadd": _groupadd,
    "usermod": _usermod,
    "gpasswd": _gpasswd,
}


def _number(text: str | None) -> int | None:
    if not text or not (text.isascii() and text.isdecimal()) or len(text) > 10:
        return None
    return int(text) if int(text) <= _MAX_ID else None


def sound(wanted: Wanted) -> bool:
    """Whether nothing in a request could break a line of passwd or group."""
    names = [user.name for user in wanted.users] + [name for name, _ in wanted.groups]
    names += [name for pair in wanted.members for name in pair]
    texts = [text for user in wanted.users for text in (user.home, user.shell, user.comment, user.group)]
    texts += [home for _, home in wanted.homes]
    return all(NAME.fullmatch(name) for name in names) and not any(set(text) & set(":\n\0") for text in texts)


def known_ids(tree: Tree) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
    """Return (uid, gid) of each user and the gid of each group in an image's account files."""
    users = {"root": (0, 0)}
    users |= {row[0]: (int(row[2]), int(row[3])) for row in _rows(tree, "etc/passwd", (2, 3))}
    return users, {"root": 0} | {row[0]: int(row[2]) for row in _rows(tree, "etc/group", (2,))}


def _rows(tree: Tree, path: str, numbers: tuple[int, ...]) -> Iterable[list[str]]:
    """Yield the rows of an account file; a package may ship anything under that name."""
    node = tree.get(path)
    if node is None or node.entry.kind != "file" or node.entry.size > _MAX_FILE:
        return
    for line in tree.read(path).decode("utf-8", "replace").splitlines():
        row = line.split(":")
        if len(row) > max(numbers) and all(_number(row[index]) is not None for index in numbers):
            yield row


def sysusers(text: str) -> tuple[Wanted, ...]:
    """Return what a sysusers.d file asks for; lines that are not understood ask for nothing."""
    found: list[Wanted] = []
    for line in text.splitlines():
        try:
            fields = shlex.split(line, comments=True)
        except ValueError:
            continue
        if len(fields) < 2 or "%" in fields[1]:
            continue
        fields += ["-"] * (6 - len(fields))
        wanted = _sysuser(fields[0], *["" if field == "-" else field for field in fields[1:6]])
        if wanted is not None and sound(wanted):
            found.append(wanted)
    return tuple(found)


def _sysuser(kind: str, name: str, number: str, comment: str, home: str, shell: str) -> Wanted | None:
    if kind == "g":
        return Wanted(groups=((name, _number(number)),))
    if kind == "m":
        return Wanted(members=((name, number),), groups=((number, None),))
    if kind not in ("u", "u!"):
        return None
    uid, _, group = number.partition(":")
    own = group or name
    user = Account(
        name=name,
        uid=_number(uid),
        group=own,
        home=home or "/",
        shell=shell or _NOLOGIN,
        comment=comment,
    )
    gid = _number(uid) if not group else None
    return Wanted(users=(user,), groups=() if own.isdecimal() or group else ((own, gid),))


def merged(all_wanted: Iterable[Wanted]) -> Wanted:
    """Return one request: of several for the same user or group the first counts."""
    users: dict[str, Account] = {}
    groups: dict[str, int | None] = {}
    members: dict[tuple[str, str], None] = {}
    homes: dict[str, str] = {}
    for wanted in all_wanted:
        for user in wanted.users:
            users.setdefault(user.name, user)
        for name, gid in wanted.groups:
            if groups.get(name) is None:
                groups[name] = gid
        members.update(dict.fromkeys(wanted.members))
        homes.update(wanted.homes)
    changed = (
        msgspec.structs.replace(user, home=homes[user.name]) if user.name in homes else user
        for user in users.values()
    )
    return Wanted(users=tuple(changed), groups=tuple(groups.items()), members=tuple(members))
