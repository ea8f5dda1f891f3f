"""Who may do what: passwords, and rules for names that begin so.

Checking a password takes long on purpose (bcrypt), so what was once found right or wrong is
remembered as a keyed hash of the header it came in; rules are looked up once for each name and user.
"""

from __future__ import annotations

import base64
import hashlib
import os
from time import perf_counter
from typing import Literal

import msgspec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Level = Literal["none", "read", "write"]
LEVELS: dict[str, int] = {"none": 0, "read": 1, "write": 2}

ANONYMOUS = ""
"""The user that has not said who they are."""

ANYBODY = "anonymous"
USERS = "users"
"""The words that stand in rules for everybody, and for everybody with a password."""

_REMEMBERED = 4096
_EMPTY = "Basic " + base64.b64encode(b":").decode()


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
        """``secret`` is a random key for what is remembered."""
        self.policy = policy
        self._secret = secret
        self._users: dict[bytes, str] = {}
        """Apart from the wrong ones, so that a flood of those does not make users log in again."""
        self._wrong: set[bytes] = set()
        started = perf_counter()
        self._nobody = _dummy(policy.passwords.values())
        """A hash to compare with when there is no such user: it takes as long as a user's."""
        self.seconds = perf_counter() - started if policy.passwords else 0.0
        """How long checking one password takes on this machine."""
        self._levels: dict[tuple[str, str], int] = {}

    def known(self, authorization: str | None) -> tuple[bool, str | None]:
        """Return whether no password has to be checked, and then the user; None is nobody we know."""
        if authorization is None or not self.policy.passwords or authorization == _EMPTY:
            return True, ANONYMOUS
        key = self.fingerprint(authorization)
        user = self._users.get(key)
        return user is not None or key in self._wrong, user

    def name(self, authorization: str) -> str | None:
        """Return the name that a header gives, None for a header that is malformed."""
        given = credentials(authorization)
        return None if given is None else given[0]

    def exists(self, name: str) -> bool:
        """Return whether there is a user of this name."""
        return name in self.policy.passwords

    def check(self, authorization: str) -> str | None:
        """Return the user whose password this is, None if it is not; takes a tenth of a second."""
        import bcrypt

        given = credentials(authorization)
        user = None
        if given is not None:
            name, password = given
            stored = self.policy.passwords.get(name, self._nobody)
            try:  # 72 bytes is what bcrypt has ever looked at
                right = bcrypt.checkpw(password[:72], stored)
            except ValueError:
                right = False
            user = name if right and name in self.policy.passwords else None
        if user is None:
            self.reject(authorization)
        else:
            if len(self._users) >= _REMEMBERED:
                self._users.clear()
            self._users[self.fingerprint(authorization)] = user
        return user

    def reject(self, authorization: str) -> None:
        """Remember a header as wrong."""
        if len(self._wrong) >= _REMEMBERED:
            self._wrong.clear()
        self._wrong.add(self.fingerprint(authorization))

    def may(self, user: str, repository: str, *, writes: bool) -> bool:
        """Say whether ``user`` may read, or write, in a repository."""
        key = (user, repository)
        found = self._levels.get(key)
        if found is None:
            if len(self._levels) >= _REMEMBERED:
                self._levels.clear()
            found = self._levels[key] = level(self.policy, user, repository)
        return found >= (2 if writes else 1)

    def fingerprint(self, authorization: str) -> bytes:
        """Return what a header is remembered as."""
        return hashlib.blake2b(
            authorization.encode(errors="surrogateescape"), key=self._secret, digest_size=16
        ).digest()


def _dummy(hashes: Collection[bytes]) -> bytes:
    """Return a hash that nobody knows a password for, of the highest cost among ``hashes``."""
    if not hashes:
        return b""
    import bcrypt

    return bcrypt.hashpw(os.urandom(16).hex().encode(), bcrypt.gensalt(max(map(_cost, hashes))))


def _cost(stored: bytes) -> int:
    """Return the cost of a bcrypt hash, ``$2b$COST$…``."""
    return int(stored.split(b"$")[2])
