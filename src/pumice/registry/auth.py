"""Logging in to a registry while asking it (RFC 7617, RFC 6750, distribution's token specification).

A registry says at the first refusal how it wants to be asked; that is remembered for its host, and
tokens for as long as they are good. A login is only ever sent to the registry itself and to the token
service that the registry names, never in the clear beyond this machine, and never to where a
redirection leads.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import msgspec

from pumice.formats.hosts import is_loopback
from pumice.registry import headers
from pumice.registry.message import Request, literal
from pumice.registry.reference import Repository, api_host
from pumice.registry.refusal import DeniedError, refused, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.registry.credentials import Credentials, Login
    from pumice.registry.headers import Challenge
    from pumice.registry.message import Ask, Response, Steps

_CLIENT = "pumice"
_DEFAULT_SECONDS = 60
_MARGIN_SECONDS = 10.0
_MAX_TOKEN = 1 << 20

Scope = tuple[str, ...]
"""What a token is for, such as ``repository:team/app:pull``."""


class _Answer(msgspec.Struct, frozen=True):
    """What a token service answers."""

    token: str = ""
    access_token: str = ""
    expires_in: float = _DEFAULT_SECONDS


class _Token(msgspec.Struct, frozen=True):
    value: str
    until: float


class Keys:
    """What is known of how registries want to be asked, shared by everything that one client does."""

    def __init__(self, credentials: Credentials, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds from any beginning."""
        self.credentials = credentials
        self.clock = clock
        self._challenges: dict[str, Challenge] = {}
        self._tokens: dict[tuple[str, Scope], _Token] = {}
        self._turns: dict[tuple[str, Scope], threading.Lock] = {}
        self._guard = threading.Lock()

    def challenge(self, host: str) -> Challenge | None:
        """Return how a host wants to be asked, as far as that is known."""
        return self._challenges.get(host)

    def learn(self, host: str, challenge: Challenge) -> None:
        """Remember how a host wants to be asked."""
        self._challenges[host] = challenge

    def turn(self, host: str, scope: Scope) -> threading.Lock:
        """Return what keeps threads from fetching the same token at once."""
        with self._guard:
            return self._turns.setdefault((host, scope), threading.Lock())

    def token(self, host: str, scope: Scope) -> str:
        """Return a token that is good for a while, or ""."""
        found = self._tokens.get((host, scope))
        return found.value if found and found.until > self.clock() else ""

    def keep(self, host: str, scope: Scope, answer: _Answer) -> str:
        """Remember a token for as long as it is good, and return it."""
        value = answer.token or answer.access_token
        seconds = max(0.0, min(answer.expires_in, 86400.0) - _MARGIN_SECONDS)
        self._tokens[host, scope] = _Token(value, self.clock() + seconds)
        return value


def scope_of(repository: Repository, actions: str) -> str:
    """Return the scope for ``actions`` (``pull``, ``pull,push``, ``delete``) in a repository."""
    return f"repository:{repository.name}:{actions}"


class Authorised:
    """Asks with a login where one is wanted, for one repository and scope."""

    def __init__(self, ask: Ask, keys: Keys, repository: Repository, scope: Scope, base: str) -> None:
        """``base`` is the address of the registry: no login goes anywhere else."""
        self._ask = ask
        self._keys = keys
        self._repository = repository
        self._host = repository.host
        self._scope = scope
        self._origin = headers.origin(base)

    def __call__(self, request: Request) -> Steps[Response]:
        """Ask; an answer with status 401 means that there is no login that would help."""
        if headers.origin(request.url) != self._origin:
            return (yield from self._ask(request))
        known = self._keys.challenge(self._host)
        used = (yield from self._authorization(known)) if known else ""
        response = yield from self._ask(_with(request, used))
        if response.status != 401:
            return response
        offered = _choose(headers.challenges(response.all("WWW-Authenticate")))
        if offered is None:
            return response
        self._keys.learn(self._host, offered)
        fresh = yield from self._authorization(offered, instead_of=used)
        if not fresh or fresh == used:
            return response
        response.stream.close()
        return (yield from self._ask(_with(request, fresh)))

    def _login(self) -> Login | None:
        """The login, if the connection is one that it may be sent over."""
        scheme, host, _ = self._origin
        if scheme != "https" and not is_loopback(host):
            return None
        return self._keys.credentials.find(self._repository)

    def _authorization(self, challenge: Challenge, instead_of: str = "") -> Steps[str]:
        login = self._login()
        if login is not None and login.bearer:
            return f"Bearer {login.bearer}"
        if challenge.scheme == "basic":
            return login.basic if login else ""
        scope = self._wanted(challenge)
        with self._keys.turn(self._host, scope):
            known = self._keys.token(self._host, scope)
            if known and f"Bearer {known}" != instead_of:
                return f"Bearer {known}"
            token = yield from self._fetch(challenge, scope, login)
        return f"Bearer {token}" if token else ""

    def _wanted(self, challenge: Challenge) -> Scope:
        """Our own scope; what the registry asked for where we have none (as at ``/v2/``)."""
        return self._scope or tuple(challenge.parameters.get("scope", "").split())

    def _fetch(self, challenge: Challenge, scope: Scope, login: Login | None) -> Steps[str]:
        realm = challenge.parameters.get("realm", "")
        self._check(realm)
        service = challenge.parameters.get("service", "")
        request = _exchange(realm, service, scope, login.identity) if login and login.identity else None
        if request is None:
            request = _question(realm, service, scope, login)
        response = yield from self._ask(request)
        if response.status in (404, 405) and request.method == "POST":
            response = yield from self._ask(_question(realm, service, scope, login))
        if response.status != 200:
            raise refused(response, shown(realm), hint=_hint(self._host, login, response.status))
        try:
            answer = msgspec.json.decode(response.content, type=_Answer)
        except (msgspec.MsgspecError, ValueError):
            answer = _Answer()
        value = answer.token or answer.access_token
        if not value or not value.isascii() or not value.isprintable() or len(value) > _MAX_TOKEN:
            raise DeniedError("the token service gave no token", where=shown(realm))
        return self._keys.keep(self._host, scope, answer)

    def _check(self, realm: str) -> None:
        """Refuse a token service that would see a login in the clear where the registry does not."""
        usable = headers.resolved(realm, realm)
        if not usable:
            raise DeniedError("the registry names no token service that could be asked", where=self._host)
        parts = urlsplit(usable)
        host = parts.hostname or ""
        clear = parts.scheme == "http"
        near = is_loopback(host) and is_loopback(api_host(self._host))
        if clear and not near and (self._origin[0] == "https" or host != self._origin[1]):
            raise DeniedError(
                "the registry's token service is on plain http, where anybody could read a login",
                where=shown(realm),
            )


def _with(request: Request, authorization: str) -> Request:
    return request.adding(("Authorization", authorization)) if authorization else request


def _choose(offered: tuple[Challenge, ...]) -> Challenge | None:
    """Return the best way to log in that is understood: tokens before passwords."""
    for scheme in ("bearer", "basic"):
        for challenge in offered:
            if challenge.scheme == scheme and (scheme == "basic" or challenge.parameters.get("realm")):
                return challenge
    return None


def _question(realm: str, service: str, scope: Scope, login: Login | None) -> Request:
    asked = [("service", service)] if service else []
    asked += [("scope", one) for one in scope]
    if login is not None and login.user:
        asked.append(("account", login.user))
    joint = "&" if "?" in realm else "?"
    sent = (("Authorization", login.basic),) if login and login.basic else ()
    return Request("GET", realm + (joint + urlencode(asked) if asked else ""), sent, limit=_MAX_TOKEN)


def _exchange(realm: str, service: str, scope: Scope, identity: str) -> Request:
    form = {
        "grant_type": "refresh_token",
        "service": service,
        "client_id": _CLIENT,
        "scope": " ".join(scope),
        "refresh_token": identity,
    }
    sent = (("Content-Type", "application/x-www-form-urlencoded"),)
    return Request("POST", realm, sent, body=literal(urlencode(form).encode()), limit=_MAX_TOKEN)


def _hint(host: str, login: Login | None, status: int) -> str | None:
    if status not in (400, 401, 403):
        return None
    what = "the login is not accepted: " if login else ""
    return f"{what}log in with pumice login {host}"
