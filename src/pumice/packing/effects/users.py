"""Users and groups: passwd(5), group(5), shadow(5), gshadow(5) and the home directories.

base-passwd's master files first, then what the recipe, sysusers.d files, package scripts and a data
table ask for. Ids are given out by sorted name, so that they do not depend on the order in which
packages come, and kept in the lock, so that they do not change when another package is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import ImageError
from pumice.packing.effects import accounts
from pumice.packing.effects.accounts import Account, Wanted
from pumice.packing.effects.model import EffectInput, EffectResult, file_entry, parse_table, read_data
from pumice.packing.effects.overlay_tree import OverlayTree
from pumice.recipe.lock import Ids

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.packing.effects.model import EffectSettings
    from pumice.packing.tree import GeneratedEntry, Tree

BY = "effect:users"
NONROOT = 65532
"""Id of the user and group ``nonroot``, as in other images that are made to run without root."""

_FIRST, _LAST = 100, 999
_MASTER = "usr/share/base-passwd"
_ROOT_ONLY = ("root:*:0:0:root:/root:/bin/sh", "root:*:0:")


class _Group(msgspec.Struct):
    name: str
    gid: int
    members: list[str]


class _User(msgspec.Struct):
    name: str
    uid: int
    gid: int
    comment: str
    home: str
    shell: str


def create_accounts(given: EffectInput) -> EffectResult:
    """Return the account files, home directories, and the ids that were given out.

    Raises ImageError when ids clash or run out.
    """
    scripted, report = _from_scripts(given)
    wanted = accounts.merged(
        [*_from_recipe(given.settings), *_from_table(given.tree), *scripted, *_from_files(given.tree)]
    )
    if given.settings.base == "none" and not (wanted.users or wanted.groups) and not _master(given.tree):
        return EffectResult(skipped_actions=report)
    book = _Book(*_base_files(given.tree), given.settings.ids)
    if any(user.uid == NONROOT for user in wanted.users):
        nonroot = Wanted()  # the recipe gives that number to somebody else
    else:
        nonroot = _nonroot()
    everybody = accounts.merged([wanted, nonroot])
    book.add(everybody)
    return EffectResult(
        generated=(*book.files(), *_homes(book, everybody, given.tree)),
        ids=Ids(dict(sorted(book.ids.users.items())), dict(sorted(book.ids.groups.items()))),
        skipped_actions=report,
    )


def _nonroot() -> Wanted:
    home = "/home/nonroot"
    user = Account(name="nonroot", uid=NONROOT, group="nonroot", home=home, comment="nonroot", make_home=True)
    return Wanted(users=(user,), groups=(("nonroot", NONROOT),))


def _from_recipe(settings: EffectSettings) -> Iterable[Wanted]:
    groups = tuple((group.name, group.gid) for group in settings.groups)
    yield Wanted(groups=groups)
    for user in settings.users:
        account = Account(
            name=user.name,
            uid=user.uid,
            group=user.group or user.name,
            home=user.home,
            shell=user.shell,
            comment=user.comment,
            make_home=True,
        )
        named = [(group, None) for group in (user.group, *user.groups) if group and not group.isdecimal()]
        members = tuple((user.name, group) for group in user.groups)
        wanted = Wanted(users=(account,), groups=tuple(named), members=members)
        if not accounts.sound(wanted):
            raise ImageError(
                f"the user {user.name!r} has a name, group, home, shell or comment that passwd cannot hold",
                hint="names have letters, digits, '_', '-' and '.'; nothing may have ':' or a line break",
            )
        yield wanted


def _from_scripts(given: EffectInput) -> tuple[list[Wanted], tuple[tuple[str, str], ...]]:
    """Return what scripts ask for; what cannot be read goes into the report."""
    found: list[Wanted] = []
    report: list[tuple[str, str]] = []
    for package, actions in given.actions.items():
        for action in actions:
            if not accounts.is_command(action.words):
                continue
            wanted = accounts.from_command(action)
            if wanted is not None:
                found.append(wanted)
            else:
                report.append((package, "users"))
    return found, tuple(report)


def _from_files(tree: Tree) -> Iterable[Wanted]:
    files: dict[str, str] = {}
    for folder in ("usr/lib/sysusers.d", "etc/sysusers.d"):  # a file of the same name in /etc counts
        files |= {path.rpartition("/")[2]: path for path in tree.children(folder) if path.endswith(".conf")}
    for name in sorted(files):
        if tree.is_file(files[name]):
            yield from accounts.sysusers(tree.read(files[name]).decode("utf-8", "replace"))


def _from_table(tree: Tree) -> Iterable[Wanted]:
    installed = {package.name for package in tree.packages}
    for row in parse_table(read_data("users.tsv")):
        package, kind, name, *rest = row
        if package not in installed:
            continue
        if kind == "group":
            yield Wanted(groups=((name, None),))
        elif kind == "member":
            yield Wanted(members=((name, rest[0]),))
        else:
            group, home, shell, comment = (*rest, "", "", "", "")[:4]
            yield Wanted(
                users=(Account(name=name, group=group or name, home=home, shell=shell, comment=comment),),
                groups=() if group in ("nogroup",) else ((group or name, None),),
            )


def _master(tree: Tree) -> bool:
    return f"{_MASTER}/passwd.master" in tree.nodes and f"{_MASTER}/group.master" in tree.nodes


def _base_files(tree: Tree) -> tuple[list[_User], list[_Group]]:
    passwd, group = _ROOT_ONLY
    if _master(tree):
        passwd = tree.read(f"{_MASTER}/passwd.master").decode("utf-8", "replace")
        group = tree.read(f"{_MASTER}/group.master").decode("utf-8", "replace")
    found = [line.split(":") for line in passwd.splitlines()]
    groups = [line.split(":") for line in group.splitlines()]
    return (
        [_User(row[0], int(row[2]), int(row[3]), row[4], row[5], row[6]) for row in found if len(row) == 7],
        [
            _Group(row[0], int(row[2]), [name for name in row[3].split(",") if name])
            for row in groups
            if len(row) == 4
        ],
    )


class _Book:
    """The account files while they are written."""

    def __init__(self, users: list[_User], groups: list[_Group], kept: Ids) -> None:
        self._users = {user.name: user for user in users}
        self._groups = {group.name: group for group in groups}
        self._kept = kept
        self.ids = Ids({}, {})

    def add(self, wanted: Wanted) -> None:
        users = {user.name: user for user in wanted.users if user.name not in self._users}
        groups = {name: gid for name, gid in wanted.groups if name not in self._groups}
        for user in users.values():
            if not user.group.isdecimal() and user.group not in self._groups:
                groups.setdefault(user.group, None)
        self._fixed(users, groups)
        self._allocate(users, groups)
        for _, user in sorted(users.items()):
            gid = self._gid(user)
            self._users[user.name] = _User(
                user.name, self._uids[user.name], gid, user.comment, user.home, user.shell
            )
        for name, group in sorted(wanted.members):
            if group not in self._groups or name not in self._users:
                continue
            known = self._groups[group]
            if name not in known.members and self._users[name].gid != known.gid:
                known.members.append(name)

    def _fixed(self, users: dict[str, Account], groups: dict[str, int | None]) -> None:
        """Note ids that are stated, and those that the lock keeps."""
        self._uids = {user.name: user.uid for user in self._users.values()}
        self._gids = {group.name: group.gid for group in self._groups.values()}
        for name, gid in sorted(groups.items()):
            if gid is not None:
                self._claim(self._gids, "group", name, gid)
        for name, user in sorted(users.items()):
            if user.uid is not None:
                self._claim(self._uids, "user", name, user.uid)
        for name, user in sorted(users.items()):  # a group of one's own has the same number if it can
            wanted = user.uid if user.group == name and name in groups else None
            if wanted is not None and name not in self._gids and wanted not in self._gids.values():
                self._gids[name] = wanted
        for ids, kept, asked in (
            (self._gids, self._kept.groups, groups),
            (self._uids, self._kept.users, users),
        ):
            taken = set(ids.values())
            for name in sorted(kept):
                if name in asked and name not in ids and kept[name] not in taken and kept[name] >= 0:
                    ids[name] = kept[name]
                    taken.add(kept[name])

    def _claim(self, ids: dict[str, int], what: str, name: str, number: int) -> None:
        other = next((known for known, used in ids.items() if used == number and known != name), None)
        if other is not None:
            raise ImageError(
                f"the {what}s {other} and {name} both want the id {number}",
                hint=f"give {name} another id in the recipe",
            )
        if not 0 <= number < 2**32 - 1:
            raise ImageError(f"the {what} {name} has the id {number}, which is out of range")
        ids[name] = number

    def _allocate(self, users: dict[str, Account], groups: dict[str, int | None]) -> None:
        for name in sorted({*users, *groups}):
            needs = [
                ids
                for ids, asked in ((self._uids, users), (self._gids, groups))
                if name in asked and name not in ids
            ]
            if needs:
                number = self._free(needs)
                for ids in needs:
                    ids[name] = number
        for name, gid in sorted(groups.items()):
            self._groups[name] = _Group(name, self._gids[name], [])
            if gid is None:
                self.ids.groups[name] = self._gids[name]
        for name, user in users.items():
            if user.uid is None:
                self.ids.users[name] = self._uids[name]

    def _free(self, needs: list[dict[str, int]]) -> int:
        taken = {number for ids in needs for number in ids.values()}
        taken |= set(self._kept.users.values()) | set(self._kept.groups.values())
        number = next((number for number in range(_FIRST, _LAST + 1) if number not in taken), None)
        if number is None:
            raise ImageError(
                f"there are no free ids left between {_FIRST} and {_LAST}",
                hint="state some ids in the recipe",
            )
        return number

    def _gid(self, user: Account) -> int:
        if user.group.isdecimal():
            return int(user.group)
        return self._groups[user.group].gid

    def id_of(self, name: str) -> tuple[int, int]:
        """Return a user's uid and gid."""
        return self._users[name].uid, self._users[name].gid

    def files(self) -> Iterable[GeneratedEntry]:
        """Yield the four files. Nobody has a password, and none is old, so no tool asks for a new one."""
        passwd = [
            f"{user.name}:x:{user.uid}:{user.gid}:{user.comment}:{user.home}:{user.shell}"
            for user in self._users.values()
        ]
        group = [f"{group.name}:x:{group.gid}:{','.join(group.members)}" for group in self._groups.values()]
        shadow = [f"{name}:*::0:99999:7:::" for name in self._users]
        gshadow = [f"{group.name}:*::{','.join(group.members)}" for group in self._groups.values()]
        secret = self._groups["shadow"].gid if "shadow" in self._groups else 0
        yield file_entry("etc/passwd", _lines(passwd), BY)
        yield file_entry("etc/group", _lines(group), BY)
        yield file_entry("etc/shadow", _lines(shadow), BY, mode=0o640, gid=secret)
        yield file_entry("etc/gshadow", _lines(gshadow), BY, mode=0o640, gid=secret)


def _lines(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode()


def _homes(book: _Book, wanted: Wanted, tree: Tree) -> Iterable[GeneratedEntry]:
    """Return the home directories that are not there yet; nobody else may look into nonroot's."""
    canvas = OverlayTree(tree, BY)
    for user in sorted(wanted.users, key=lambda user: user.name):
        if not user.make_home or user.home.startswith("/nonexistent") or canvas.exists(user.home):
            continue
        uid, gid = book.id_of(user.name)
        if canvas.make_directory(user.home):
            canvas.change_attributes(
                user.home, mode=0o700 if user.uid == NONROOT else 0o755, uid=uid, gid=gid
            )
    return canvas.entries.values()
