"""The effect that writes passwd(5), group(5), shadow(5), gshadow(5) and creates home directories.

Accounts come from base-passwd's master files, the recipe, sysusers.d files, package scripts and a data
table. Ids are allocated in the order of names, so that they do not depend on the order of packages,
and recorded in the lock, so that they do not change when another package is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import ImageError
from pumice.formats.lines import split_lines
from pumice.packing.effects import accounts
from pumice.packing.effects.accounts import Account, AccountRequest
from pumice.packing.effects.model import EffectInput, EffectResult, file_entry, parse_table, read_data
from pumice.packing.effects.overlay_tree import OverlayTree
from pumice.recipe.lock import Ids

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.packing.effects.model import EffectSettings
    from pumice.packing.tree import GeneratedEntry, Tree

ORIGIN = "effect:users"
NONROOT = 65532
"""Id of the user and group ``nonroot``, the same as in distroless images."""

_FIRST_ID, _LAST_ID = 100, 999
_MASTER_DIRECTORY = "usr/share/base-passwd"
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


def create_accounts(inputs: EffectInput) -> EffectResult:
    """Return the account files, the home directories, and the allocated ids.

    Raises ImageError if two accounts need the same id or no id is free.
    """
    script_requests, skipped_actions = _read_script_requests(inputs)
    requested = accounts.merge_requests(
        [
            *_read_recipe_requests(inputs.settings),
            *_read_table_requests(inputs.tree),
            *script_requests,
            *_read_sysusers_requests(inputs.tree),
        ]
    )
    if (
        inputs.settings.base == "none"
        and not (requested.users or requested.groups)
        and not _has_master_files(inputs.tree)
    ):
        return EffectResult(skipped_actions=skipped_actions)
    account_files = _AccountFiles(*_read_base_accounts(inputs.tree), inputs.settings.ids)
    if any(user.uid == NONROOT for user in requested.users):
        nonroot = AccountRequest()  # the recipe uses that id for another user
    else:
        nonroot = _make_nonroot_request()
    all_requests = accounts.merge_requests([requested, nonroot])
    account_files.add(all_requests)
    return EffectResult(
        generated=(
            *account_files.files(),
            *_create_home_directories(account_files, all_requests, inputs.tree),
        ),
        ids=Ids(
            dict(sorted(account_files.ids.users.items())), dict(sorted(account_files.ids.groups.items()))
        ),
        skipped_actions=skipped_actions,
    )


def _make_nonroot_request() -> AccountRequest:
    home = "/home/nonroot"
    user = Account(name="nonroot", uid=NONROOT, group="nonroot", home=home, comment="nonroot", make_home=True)
    return AccountRequest(users=(user,), groups=(("nonroot", NONROOT),))


def _read_recipe_requests(settings: EffectSettings) -> Iterable[AccountRequest]:
    groups = tuple((group.name, group.gid) for group in settings.groups)
    yield AccountRequest(groups=groups)
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
        stated_groups = [
            (group, None) for group in (user.group, *user.groups) if group and not group.isdecimal()
        ]
        members = tuple((user.name, group) for group in user.groups)
        request = AccountRequest(users=(account,), groups=tuple(stated_groups), members=members)
        if not accounts.is_valid(request):
            raise ImageError(
                f"the user {user.name!r} has a name, group, home, shell or comment that is invalid in passwd",
                hint="names have letters, digits, '_', '-' and '.'; no field may contain ':' or newlines",
            )
        yield request


def _read_script_requests(inputs: EffectInput) -> tuple[list[AccountRequest], tuple[tuple[str, str], ...]]:
    """Return the requests of package scripts, and those that cannot be parsed as skipped actions."""
    requests: list[AccountRequest] = []
    skipped_actions: list[tuple[str, str]] = []
    for package, actions in inputs.actions.items():
        for action in actions:
            if not accounts.is_account_command(action.words):
                continue
            request = accounts.parse_account_command(action)
            if request is not None:
                requests.append(request)
            else:
                skipped_actions.append((package, "users"))
    return requests, tuple(skipped_actions)


def _read_sysusers_requests(tree: Tree) -> Iterable[AccountRequest]:
    files: dict[str, str] = {}
    for directory in ("usr/lib/sysusers.d", "etc/sysusers.d"):  # a file in /etc overrides its namesake
        files |= {
            path.rpartition("/")[2]: path for path in tree.children(directory) if path.endswith(".conf")
        }
    for name in sorted(files):
        if tree.is_file(files[name]):
            yield from accounts.parse_sysusers(tree.read(files[name]).decode("utf-8", "replace"))


def _read_table_requests(tree: Tree) -> Iterable[AccountRequest]:
    installed = {package.name for package in tree.packages}
    for row in parse_table(read_data("users.tsv")):
        package, kind, name, *fields = row
        if package not in installed:
            continue
        if kind == "group":
            yield AccountRequest(groups=((name, None),))
        elif kind == "member":
            yield AccountRequest(members=((name, fields[0]),))
        else:
            group, home, shell, comment = (*fields, "", "", "", "")[:4]
            yield AccountRequest(
                users=(Account(name=name, group=group or name, home=home, shell=shell, comment=comment),),
                groups=() if group in ("nogroup",) else ((group or name, None),),
            )


def _has_master_files(tree: Tree) -> bool:
    return (
        f"{_MASTER_DIRECTORY}/passwd.master" in tree.nodes
        and f"{_MASTER_DIRECTORY}/group.master" in tree.nodes
    )


def _read_base_accounts(tree: Tree) -> tuple[list[_User], list[_Group]]:
    passwd, group = _ROOT_ONLY
    if _has_master_files(tree):
        passwd = tree.read(f"{_MASTER_DIRECTORY}/passwd.master").decode("utf-8", "replace")
        group = tree.read(f"{_MASTER_DIRECTORY}/group.master").decode("utf-8", "replace")
    passwd_rows = [line.split(":") for line in split_lines(passwd)]
    group_rows = [line.split(":") for line in split_lines(group)]
    return (
        [
            _User(row[0], int(row[2]), int(row[3]), row[4], row[5], row[6])
            for row in passwd_rows
            if len(row) == 7
        ],
        [
            _Group(row[0], int(row[2]), [name for name in row[3].split(",") if name])
            for row in group_rows
            if len(row) == 4
        ],
    )


class _AccountFiles:
    """The account files, and the ids of new accounts."""

    def __init__(self, users: list[_User], groups: list[_Group], locked_ids: Ids) -> None:
        self._users = {user.name: user for user in users}
        self._groups = {group.name: group for group in groups}
        self._locked_ids = locked_ids
        self.ids = Ids({}, {})

    def add(self, request: AccountRequest) -> None:
        users = {user.name: user for user in request.users if user.name not in self._users}
        groups = {name: gid for name, gid in request.groups if name not in self._groups}
        for user in users.values():
            if not user.group.isdecimal() and user.group not in self._groups:
                groups.setdefault(user.group, None)
        self._assign_known_ids(users, groups)
        self._allocate_ids(users, groups)
        for _, user in sorted(users.items()):
            gid = self._find_primary_gid(user)
            self._users[user.name] = _User(
                user.name, self._uids[user.name], gid, user.comment, user.home, user.shell
            )
        for name, group in sorted(request.members):
            if group not in self._groups or name not in self._users:
                continue
            existing_group = self._groups[group]
            if name not in existing_group.members and self._users[name].gid != existing_group.gid:
                existing_group.members.append(name)

    def _assign_known_ids(self, users: dict[str, Account], groups: dict[str, int | None]) -> None:
        """Assign stated ids, and those that the lock records."""
        self._uids = {user.name: user.uid for user in self._users.values()}
        self._gids = {group.name: group.gid for group in self._groups.values()}
        for name, gid in sorted(groups.items()):
            if gid is not None:
                self._claim_id(self._gids, "group", name, gid)
        for name, user in sorted(users.items()):
            if user.uid is not None:
                self._claim_id(self._uids, "user", name, user.uid)
        for name, user in sorted(users.items()):  # a user's own group has the same id if it is free
            uid = user.uid if user.group == name and name in groups else None
            if uid is not None and name not in self._gids and uid not in self._gids.values():
                self._gids[name] = uid
        for ids, locked_ids, requested_names in (
            (self._gids, self._locked_ids.groups, groups),
            (self._uids, self._locked_ids.users, users),
        ):
            used_ids = set(ids.values())
            for name in sorted(locked_ids):
                if (
                    name in requested_names
                    and name not in ids
                    and locked_ids[name] not in used_ids
                    and locked_ids[name] >= 0
                ):
                    ids[name] = locked_ids[name]
                    used_ids.add(locked_ids[name])

    def _claim_id(self, ids: dict[str, int], kind: str, name: str, number: int) -> None:
        conflicting_name = next(
            (
                existing_name
                for existing_name, existing_id in ids.items()
                if existing_id == number and existing_name != name
            ),
            None,
        )
        if conflicting_name is not None:
            raise ImageError(
                f"the {kind}s {conflicting_name} and {name} have the same id {number}",
                hint=f"set another id for {name} in the recipe",
            )
        if not 0 <= number < 2**32 - 1:
            raise ImageError(f"the {kind} {name} has the id {number}, which is out of range")
        ids[name] = number

    def _allocate_ids(self, users: dict[str, Account], groups: dict[str, int | None]) -> None:
        for name in sorted({*users, *groups}):
            id_tables = [
                ids
                for ids, requested_names in ((self._uids, users), (self._gids, groups))
                if name in requested_names and name not in ids
            ]
            if id_tables:
                number = self._find_free_id(id_tables)
                for ids in id_tables:
                    ids[name] = number
        for name, gid in sorted(groups.items()):
            self._groups[name] = _Group(name, self._gids[name], [])
            if gid is None:
                self.ids.groups[name] = self._gids[name]
        for name, user in users.items():
            if user.uid is None:
                self.ids.users[name] = self._uids[name]

    def _find_free_id(self, id_tables: list[dict[str, int]]) -> int:
        used_ids = {number for ids in id_tables for number in ids.values()}
        used_ids |= set(self._locked_ids.users.values()) | set(self._locked_ids.groups.values())
        number = next((number for number in range(_FIRST_ID, _LAST_ID + 1) if number not in used_ids), None)
        if number is None:
            raise ImageError(
                f"no id between {_FIRST_ID} and {_LAST_ID} is free",
                hint="set some ids in the recipe",
            )
        return number

    def _find_primary_gid(self, user: Account) -> int:
        if user.group.isdecimal():
            return int(user.group)
        return self._groups[user.group].gid

    def user_ids(self, name: str) -> tuple[int, int]:
        """Return (uid, gid) of a user."""
        return self._users[name].uid, self._users[name].gid

    def files(self) -> Iterable[GeneratedEntry]:
        """Yield the four files. No account has a password or a date that would make one expire."""
        passwd = [
            f"{user.name}:x:{user.uid}:{user.gid}:{user.comment}:{user.home}:{user.shell}"
            for user in self._users.values()
        ]
        group = [f"{group.name}:x:{group.gid}:{','.join(group.members)}" for group in self._groups.values()]
        shadow = [f"{name}:*::0:99999:7:::" for name in self._users]
        gshadow = [f"{group.name}:*::{','.join(group.members)}" for group in self._groups.values()]
        shadow_gid = self._groups["shadow"].gid if "shadow" in self._groups else 0
        yield file_entry("etc/passwd", _encode_lines(passwd), ORIGIN)
        yield file_entry("etc/group", _encode_lines(group), ORIGIN)
        yield file_entry("etc/shadow", _encode_lines(shadow), ORIGIN, mode=0o640, gid=shadow_gid)
        yield file_entry("etc/gshadow", _encode_lines(gshadow), ORIGIN, mode=0o640, gid=shadow_gid)


def _encode_lines(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode()


def _create_home_directories(
    account_files: _AccountFiles, request: AccountRequest, tree: Tree
) -> Iterable[GeneratedEntry]:
    """Return the missing home directories; only nonroot may read its own."""
    overlay = OverlayTree(tree, ORIGIN)
    for user in sorted(request.users, key=lambda user: user.name):
        if not user.make_home or user.home.startswith("/nonexistent") or overlay.exists(user.home):
            continue
        uid, gid = account_files.user_ids(user.name)
        if overlay.make_directory(user.home):
            overlay.change_attributes(
                user.home, mode=0o700 if user.uid == NONROOT else 0o755, uid=uid, gid=gid
            )
    return overlay.entries.values()
