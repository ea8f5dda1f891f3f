"""Requests for users and groups, and the commands and files that contain them.

adduser(8), addgroup(8), useradd(8), groupadd(8), usermod(8), gpasswd(1) and sysusers.d(5).
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import msgspec

from pumice.formats.lines import split_lines
from pumice.packing.effects.account_ids import parse_id
from pumice.packing.effects.scripts.command_line import CommandLine, parse_command_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.packing.effects.scripts.action import ScriptAction
    from pumice.packing.effects.scripts.scope import Value

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_NOLOGIN = "/usr/sbin/nologin"
_NO_HOME = "/nonexistent"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A requested user; ``group`` is the primary group, by name or number."""

    name: str
    uid: int | None = None
    group: str = ""
    home: str = _NO_HOME
    shell: str = _NOLOGIN
    comment: str = ""
    make_home: bool = False


class AccountRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Requested users, groups (name and id, None for any free id) and memberships (user, group)."""

    users: tuple[Account, ...] = ()
    groups: tuple[tuple[str, int | None], ...] = ()
    members: tuple[tuple[str, str], ...] = ()
    homes: tuple[tuple[str, str], ...] = ()
    """Later changes of a user's home directory (``usermod -d``): (user, home)."""


_VALUE_OPTIONS = [
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
_ADDUSER_OPTIONS = (*_VALUE_OPTIONS, "G")
_USERADD_OPTIONS = (*_VALUE_OPTIONS, *"bcdefgGkKpRPsu")


def parse_account_command(action: ScriptAction) -> AccountRequest | None:
    """Return the request of a command; None if it is another command or cannot be parsed."""
    words = action.words
    name = (words[0] or "").rpartition("/")[2] if words else ""
    parser = _PARSERS.get(name)
    command_line = (
        parse_command_line(
            words[1:], _ADDUSER_OPTIONS if name in ("adduser", "addgroup") else _USERADD_OPTIONS
        )
        if parser
        else None
    )
    if parser is None or command_line is None:
        return None
    request = parser(command_line)
    return request if request is not None and is_valid(request) else None


def is_account_command(words: Sequence[Value]) -> bool:
    """Whether a command changes users or groups."""
    return bool(words) and (words[0] or "").rpartition("/")[2] in _PARSERS


def _adduser(line: CommandLine) -> AccountRequest | None:
    if len(line.operands) == 2:
        return AccountRequest(members=((line.operands[0], line.operands[1]),))
    if len(line.operands) != 1:
        return None
    name, values = line.operands[0], line.values
    if "group" in line.flags and not line.flags & {"system"}:
        return _addgroup(line)
    has_own_group = "group" in line.flags or ("system" not in line.flags and "ingroup" not in values)
    group = name if has_own_group else values.get("ingroup") or values.get("gid") or "nogroup"
    system = "system" in line.flags
    home = values.get("home") or (_NO_HOME if system else f"/home/{name}")
    user = Account(
        name=name,
        uid=parse_id(values.get("uid")),
        group=group,
        home=home,
        shell=values.get("shell") or (_NOLOGIN if system else "/bin/bash"),
        comment=(values.get("gecos") or values.get("comment") or "").rstrip(","),
        make_home="no-create-home" not in line.flags and not home.startswith(_NO_HOME),
    )
    groups = ((name, parse_id(values.get("gid"))),) if has_own_group else ()
    return AccountRequest(users=(user,), groups=groups)


def _addgroup(line: CommandLine) -> AccountRequest | None:
    if len(line.operands) == 2:
        return AccountRequest(members=((line.operands[0], line.operands[1]),))
    if len(line.operands) != 1:
        return None
    return AccountRequest(groups=((line.operands[0], parse_id(line.values.get("gid"))),))


def _groupadd(line: CommandLine) -> AccountRequest | None:
    if len(line.operands) != 1:
        return None
    return AccountRequest(
        groups=((line.operands[0], parse_id(line.values.get("g") or line.values.get("gid"))),)
    )


def _useradd(line: CommandLine) -> AccountRequest | None:
    if len(line.operands) != 1:
        return None
    name, values = line.operands[0], line.values
    stated_group = values.get("g") or values.get("gid") or ""
    home = values.get("d") or values.get("home-dir") or values.get("home") or f"/home/{name}"
    user = Account(
        name=name,
        uid=parse_id(values.get("u") or values.get("uid")),
        group=stated_group or name,
        home=home,
        shell=values.get("s") or values.get("shell") or "/bin/sh",
        comment=values.get("c") or values.get("comment") or "",
        make_home=bool(line.flags & {"m", "create-home"}),
    )
    more_groups = values.get("G") or values.get("groups") or ""
    members = tuple((name, group) for group in more_groups.split(",") if group)
    return AccountRequest(users=(user,), groups=() if stated_group else ((name, None),), members=members)


def _usermod(line: CommandLine) -> AccountRequest | None:
    if len(line.operands) != 1:
        return None
    name = line.operands[0]
    more_groups = line.values.get("G") or line.values.get("groups") or ""
    home = line.values.get("d") or line.values.get("home") or ""
    return AccountRequest(
        members=tuple((name, group) for group in more_groups.split(",") if group),
        homes=((name, home),) if home else (),
    )


def _gpasswd(line: CommandLine) -> AccountRequest | None:
    if "a" in line.flags and len(line.operands) == 2:
        return AccountRequest(members=((line.operands[0], line.operands[1]),))
    return None


_PARSERS = {
    "adduser": _adduser,
    "addgroup": _addgroup,
    "useradd": _useradd,
    "groupadd": _groupadd,
    "usermod": _usermod,
    "gpasswd": _gpasswd,
}


def is_valid(request: AccountRequest) -> bool:
    """Whether passwd(5) and group(5) can hold every field of a request."""
    names = [user.name for user in request.users] + [name for name, _ in request.groups]
    names += [name for pair in request.members for name in pair]
    texts = [text for user in request.users for text in (user.home, user.shell, user.comment, user.group)]
    texts += [home for _, home in request.homes]
    return all(NAME.fullmatch(name) for name in names) and not any(set(text) & set(":\n\0") for text in texts)


def parse_sysusers(text: str) -> tuple[AccountRequest, ...]:
    """Return the requests of a sysusers.d file; lines that cannot be parsed are skipped."""
    requests: list[AccountRequest] = []
    for line in split_lines(text):
        try:
            fields = shlex.split(line, comments=True)
        except ValueError:
            continue
        if len(fields) < 2 or "%" in fields[1]:
            continue
        fields += ["-"] * (6 - len(fields))
        request = _parse_sysusers_line(fields[0], *["" if field == "-" else field for field in fields[1:6]])
        if request is not None and is_valid(request):
            requests.append(request)
    return tuple(requests)


def _parse_sysusers_line(
    kind: str, name: str, id_field: str, comment: str, home: str, shell: str
) -> AccountRequest | None:
    if kind == "g":
        return AccountRequest(groups=((name, parse_id(id_field)),))
    if kind == "m":
        return AccountRequest(members=((name, id_field),), groups=((id_field, None),))
    if kind not in ("u", "u!"):
        return None
    uid, _, group = id_field.partition(":")
    primary_group = group or name
    user = Account(
        name=name,
        uid=parse_id(uid),
        group=primary_group,
        home=home or "/",
        shell=shell or _NOLOGIN,
        comment=comment,
    )
    gid = parse_id(uid) if not group else None
    return AccountRequest(
        users=(user,), groups=() if primary_group.isdecimal() or group else ((primary_group, gid),)
    )


def merge_requests(requests: Iterable[AccountRequest]) -> AccountRequest:
    """Merge requests into one; for the same user or group the first request wins."""
    users: dict[str, Account] = {}
    groups: dict[str, int | None] = {}
    members: dict[tuple[str, str], None] = {}
    homes: dict[str, str] = {}
    for request in requests:
        for user in request.users:
            users.setdefault(user.name, user)
        for name, gid in request.groups:
            if groups.get(name) is None:
                groups[name] = gid
        members.update(dict.fromkeys(request.members))
        homes.update(request.homes)
    users_with_homes = (
        msgspec.structs.replace(user, home=homes[user.name]) if user.name in homes else user
        for user in users.values()
    )
    return AccountRequest(users=tuple(users_with_homes), groups=tuple(groups.items()), members=tuple(members))
