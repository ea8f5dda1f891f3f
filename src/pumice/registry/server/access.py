"""Access control: passwords, tokens, and rules by repository prefix.

Checking a password is slow on purpose (bcrypt), so results are cached by a keyed hash of the header that
had the password. Access levels are cached by user and repository.
"""

from __future__ import annotations

import base64
import hashlib
import os
from time import perf_counter, time
from typing import Literal

import msgspec

from pumice.errors import PumiceError
from pumice.formats import jwt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import Any

Level = Literal["none", "read", "write"]
LEVELS: dict[str, int] = {"none": 0, "read": 1, "write": 2}

ANONYMOUS = ""
"""The user name of clients without a password."""

EVERYONE = "anonymous"
ALL_USERS = "users"
"""The words in rules for everyone, and for everyone with a password."""

_MAX_CACHED = 4096
_EMPTY_CREDENTIALS = "Basic " + base64.b64encode(b":").decode()


class Grants(msgspec.Struct, frozen=True):
    """The users who may read and write the repositories of a rule; who may write may also read."""

    read: frozenset[str] = frozenset()
    write: frozenset[str] = frozenset()


class Identity(msgspec.Struct, frozen=True):
    """A user without a password: the claims that a token must have, and their patterns."""

    name: str
    conditions: tuple[tuple[str, str], ...]


class Policy(msgspec.Struct, frozen=True):
    """The configuration of access control.

    ``rules`` are by prefix, which matches whole path elements ("" matches every name); only the longest
    matching prefix counts. Without a match, ``anonymous`` is the level of clients without a password, and
    users may write.
    """

    anonymous: Level
    passwords: Mapping[str, bytes] = {}
    rules: Mapping[str, Grants] = {}
    identities: tuple[Identity, ...] = ()
    verify_token: Callable[[str], dict[str, Any]] | None = None
    """Returns the claims of a token; raises PumiceError."""

    @property
    def has_users(self) -> bool:
        """Whether clients can log in."""
        return bool(self.passwords or self.identities)

    @property
    def rewards_login(self) -> bool:
        """Whether users may do more than anonymous clients."""
        return self.has_users and (self.anonymous != "write" or bool(self.rules))


def access_level(policy: Policy, user: str, repository: str) -> int:
    """Return the level of ``user`` in a repository, one of `LEVELS`."""
    prefix = repository
    while prefix and prefix not in policy.rules:
        prefix = prefix.rpartition("/")[0]
    grants = policy.rules.get(prefix)
    if grants is None:
        return LEVELS[policy.anonymous] if user == ANONYMOUS else LEVELS["write"]
    names = {EVERYONE} if user == ANONYMOUS else {EVERYONE, ALL_USERS, user}
    if names & grants.write:
        return LEVELS["write"]
    return LEVELS["read"] if names & grants.read else LEVELS["none"]


def parse_credentials(authorization: str) -> tuple[str, bytes] | None:
    """Return the user and password of an Authorization header (RFC 7617); None for anything else."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except ValueError:
        return None


class Access:
    """A policy, with caches of its decisions."""

    def __init__(self, policy: Policy, secret: bytes) -> None:
        """``secret`` is a random key for the fingerprints of cached headers."""
        self.policy = policy
        self._secret = secret
        self._users: dict[bytes, str] = {}
        """Separate from the wrong ones, so that a flood of those does not make users log in again."""
        self._rejected: set[bytes] = set()
        self._tokens: dict[bytes, tuple[str, int]] = {}
        """The users of verified tokens, and when those expire."""
        started = perf_counter()
        self._dummy_hash = _create_dummy_hash(policy.passwords.values())
        """A hash to compare with when there is no such user; it takes as long as a user's."""
        self.check_seconds = perf_counter() - started if policy.passwords else 0.0
        """How long one password check takes on this machine."""
        self._levels: dict[tuple[str, str], int] = {}

    def look_up(self, authorization: str | None) -> tuple[bool, str | None]:
        """Return whether the result for a header is known, and the user; None if it was rejected."""
        if authorization is None or not self.policy.has_users or authorization == _EMPTY_CREDENTIALS:
            return True, ANONYMOUS
        key = self.fingerprint(authorization)
        token_user, expires = self._tokens.get(key, (None, 0))
        if token_user is not None and time() < expires:
            return True, token_user
        user = self._users.get(key)
        return user is not None or key in self._rejected, user

    def has_token(self, authorization: str) -> bool:
        """Return whether a header has a token that this policy can verify."""
        return self.policy.verify_token is not None and jwt.find_token(authorization) is not None

    def check_token(self, authorization: str) -> tuple[str | None, str]:
        """Return the user of a token and ``""``, or None and why it is refused; may take some seconds."""
        token = jwt.find_token(authorization)
        if token is None or self.policy.verify_token is None:
            return None, "there is no token"
        try:
            claims = self.policy.verify_token(token)
        except PumiceError as error:
            return None, error.message
        for identity in self.policy.identities:
            if all(jwt.matches_claim(claims, name, pattern) for name, pattern in identity.conditions):
                if len(self._tokens) >= _MAX_CACHED:
                    self._tokens.clear()
                self._tokens[self.fingerprint(authorization)] = (identity.name, int(claims["exp"]))
                return identity.name, ""
        return None, "the token does not belong to a known identity"

    def user_name(self, authorization: str) -> str | None:
        """Return the user name in a header, without a check; None if the header is malformed."""
        credentials = parse_credentials(authorization)
        return None if credentials is None else credentials[0]

    def has_user(self, name: str) -> bool:
        """Return whether there is a user of this name."""
        return name in self.policy.passwords

    def check_password(self, authorization: str) -> str | None:
        """Return the user of a header if the password is right, else None. Takes about 0.1 s."""
        import bcrypt

        credentials = parse_credentials(authorization)
        user = None
        if credentials is not None:
            name, password = credentials
            stored_hash = self.policy.passwords.get(name, self._dummy_hash)
            try:  # bcrypt ignores everything after 72 bytes
                is_right = bcrypt.checkpw(password[:72], stored_hash)
            except ValueError:
                is_right = False
            user = name if is_right and name in self.policy.passwords else None
        if user is None:
            self.reject(authorization)
        else:
            if len(self._users) >= _MAX_CACHED:
                self._users.clear()
            self._users[self.fingerprint(authorization)] = user
        return user

    def reject(self, authorization: str) -> None:
        """Cache that the password of a header is wrong."""
        if len(self._rejected) >= _MAX_CACHED:
            self._rejected.clear()
        self._rejected.add(self.fingerprint(authorization))

    def is_allowed(self, user: str, repository: str, *, to_write: bool) -> bool:
        """Return whether ``user`` may read, or write, a repository."""
        key = (user, repository)
        level = self._levels.get(key)
        if level is None:
            if len(self._levels) >= _MAX_CACHED:
                self._levels.clear()
            level = self._levels[key] = access_level(self.policy, user, repository)
        return level >= (2 if to_write else 1)

    def fingerprint(self, authorization: str) -> bytes:
        """Return the key of a header in the caches."""
        return hashlib.blake2b(
            authorization.encode(errors="surrogateescape"), key=self._secret, digest_size=16
        ).digest()


def _create_dummy_hash(hashes: Collection[bytes]) -> bytes:
    """Return the hash of a random password, with the highest cost among ``hashes``."""
    if not hashes:
        return b""
    import bcrypt

    return bcrypt.hashpw(os.urandom(16).hex().encode(), bcrypt.gensalt(max(map(_cost, hashes))))


def _cost(bcrypt_hash: bytes) -> int:
    """Return the cost of a bcrypt hash, ``$2b$COST$…``."""
    return int(bcrypt_hash.split(b"$")[2])
