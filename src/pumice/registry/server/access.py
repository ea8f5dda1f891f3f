"""Who may do what: passwords, and rules for names that begin so.

Checking a password takes long on purpose (bcrypt), so what was once found right or wrong is
remembered as a keyed hash of the header it came in; rules are looked up once for each name and user.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Literal

import msgspec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

Level = Literal["none", "read", "write"]
LEVELS: dict[str, int] = {"none": 0, "read": 1, "write": 2}

ANONYMOUS = ""
"""The user that has not said who they are."""

ANYBODY = "anonymous"
USERS = "users"
"""The words that stand in rules for everybody, and for everybody with a password."""

_REMEMBERED = 4096
_EMPTY = "Basic " + base64.b64encode(b":").decode()
_NOBODY = b"$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
"""A hash to compare with when there is no such user, so that the time taken does not tell."""


class Grants(msgspec.Struct, frozen=True):
    """Who may read and who may write where a rule holds; who may write may read."""

    read: frozenset[str] = frozenset()
    write: frozenset[str] = frozenset()


class Policy(msgspec.Struct, frozen=True):
    """What was configured.

    ``rules`` are by prefix, path element for path element ("" is every name); the longest that fits
    decides alone. Where none fits, ``anonymous`` says what everybody may, and whoever has a password
    may write.
    """

    anonymous: Level
    passwords: Mapping[str, bytes] = {}
    rules: Mapping[str, Grants] = {}

    @property
    def invites(self) -> bool:
        """Say whether a password opens anything that is closed without."""
        return bool(self.passwords) and (self.anonymous != "write" or bool(self.rules))


def level(policy: Policy, user: str, repository: str) -> int:
    """Return what ``user`` may do in a repository: 0 nothing, 1 read, 2 write."""
    prefix = repository
    while prefix and prefix not in policy.rules:
        prefix = prefix.rpartition("/")[0]
    grants = policy.rules.get(prefix)
    if grants is None:
        return LEVELS[policy.anonymous] if user == ANONYMOUS else LEVELS["write"]
    names = {ANYBODY} if user == ANONYMOUS else {ANYBODY, USERS, user}
    if names & grants.write:
        return 2
    return 1 if names & grants.read else 0


def credentials(authorization: str) -> tuple[str, bytes] | None:
    """Return the user and password of a header (RFC 7617), None for anything else."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except ValueError:
        return None


class Access:
    """A policy, and what was found out with it so far."""

    def __init__(self, policy: Policy, secret: bytes) -> None:
        self.policy = policy
        self._secret = secret
        self._users: dict[bytes, str | None] = {}
        self._levels: dict[tuple[str, str], int] = {}

    def known(self, authorization: str | None) -> tuple[bool, str | None]:
        """Return whether no password has to be checked, and then the user; None is nobody we know."""
        if authorization is None or not self.policy.passwords or authorization == _EMPTY:
            return True, ANONYMOUS
        key = self._key(authorization)
        if key in self._users:
            return True, self._users[key]
        return False, None

    def check(self, authorization: str) -> str | None:
        """Return the user whose password this is, None if it is not; takes a tenth of a second."""
        import bcrypt

        given = credentials(authorization)
        user = None
        if given is not None:
            name, password = given
            stored = self.policy.passwords.get(name, _NOBODY)
            try:  # 72 bytes is what bcrypt has ever looked at
                right = bcrypt.checkpw(password[:72], stored)
            except ValueError:
                right = False
            user = name if right and name in self.policy.passwords else None
        if len(self._users) >= _REMEMBERED:
            self._users.clear()
        self._users[self._key(authorization)] = user
        return user

    def may(self, user: str, repository: str, *, writes: bool) -> bool:
        """Say whether ``user`` may read, or write, in a repository."""
        key = (user, repository)
        found = self._levels.get(key)
        if found is None:
            if len(self._levels) >= _REMEMBERED:
                self._levels.clear()
            found = self._levels[key] = level(self.policy, user, repository)
        return found >= (2 if writes else 1)

    def _key(self, authorization: str) -> bytes:
        return hashlib.blake2b(
            authorization.encode(errors="surrogateescape"), key=self._secret, digest_size=16
        ).digest()
