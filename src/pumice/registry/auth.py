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
from pumice.registry.errors import DeniedError, RegistryError, refused, shown
from pumice.registry.message import Request, literal
from pumice.registry.reference import Repository, api_host

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.registry.credentials import Credentials, Login
    from pumice.registry.headers import Challenge
    from pumice.registry.message import Ask, Response, Steps

_CLIENT = "pumice"
_DEFAULT_SECONDS = 60
_MARGIN_SECONDS = 10.0
_MAX_TOKEN = 1 << 20
_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REFUSALS = frozenset({401, 403, 404})
_NO_EXCHANGE = frozenset({404, 405, 501})
_DENIED = frozenset({400, 401, 403})
"""Answers of token services that know passwords only."""

Scope = tuple[str, ...]
"""What a token is for, such as ``repository:team/app:pull``."""


class _Answer(msgspec.Struct, frozen=True):
    """What a token service answers."""

    token: str = ""
    seconds: float = _DEFAULT_SECONDS


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
        self._pinged: set[str] = set()
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
        seconds = max(0.0, min(answer.seconds, 86400.0) - _MARGIN_SECONDS)
        self._tokens[host, scope] = _Token(answer.token, self.clock() + seconds)
        return answer.token

    def first_ping(self, host: str) -> bool:
        """Say whether a host has not been asked yet how it wants to be asked."""
        with self._guard:
            is_first = host not in self._pinged
            self._pinged.add(host)
        return is_first


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
        self._base = base
        self._origin = headers.origin(base)

    def __call__(self, request: Request) -> Steps[Response]:
        """Ask; an answer with status 401 means that there is no login that would help."""
        if headers.origin(request.url) != self._origin:
            return (yield from self._ask(request))
        known = self._keys.challenge(self._host)
        used = (yield from self._authorization(known, self._scope)) if known else ""
        response = yield from self._ask(_with(request, used))
        for is_last in (False, True):
            offered = yield from self._offer(response, is_anonymous=not used)
            if offered is None:
                return response
            fresh = yield from self._renewed(offered, used, is_last=is_last)
            if not fresh or fresh == used:
                return response
            response.stream.close()
            used = fresh
            response = yield from self._ask(_with(request, used))
        return response

    def _offer(self, response: Response, *, is_anonymous: bool) -> Steps[Challenge | None]:
        """Return how a registry wants to be asked instead, None if there is nothing to be changed.

        Some refuse without a word about it, or hide what is private as 404: those are asked at ``/v2/``,
        where every registry has to say.
        """
        if response.status == 401:
            offered = _choose(headers.challenges(response.all("WWW-Authenticate")))
            if offered is not None:
                self._keys.learn(self._host, offered)
                return offered
        if not is_anonymous or response.status not in _REFUSALS:
            return None
        if response.status == 404 and self._login() is None:
            return None
        with self._keys.turn(self._host, ("ping",)):
            if self._keys.first_ping(self._host):
                ping = yield from self._ask(Request("GET", f"{self._base}/v2/"))
                offered = _choose(headers.challenges(ping.all("WWW-Authenticate")))
                if ping.status == 401 and offered is not None:
                    self._keys.learn(self._host, offered)
        return self._keys.challenge(self._host)

    def _renewed(self, offered: Challenge, used: str, *, is_last: bool) -> Steps[str]:
        """Return the authorization to try next: for our scope, and at last for the registry's as well."""
        if not is_last:
            return (yield from self._authorization(offered, self._scope, instead_of=used))
        wider = joined([*self._scope, *offered.parameters.get("scope", "").split()])
        if offered.scheme != "bearer" or wider == joined(self._scope):
            return ""
        try:
            return (yield from self._authorization(offered, wider, instead_of=used))
        except RegistryError:
            return ""  # the registry's own refusal says more

    def _login(self) -> Login | None:
        """The login, if the connection is one that it may be sent over."""
        scheme, host, _ = self._origin
        if scheme != "https" and not is_loopback(host):
            return None
        return self._keys.credentials.find(self._repository)

    def _authorization(self, challenge: Challenge, own: Scope, instead_of: str = "") -> Steps[str]:
        login = self._login()
        if login is not None and login.bearer:
            return f"Bearer {login.bearer}"
        if challenge.scheme == "basic":
            return login.basic if login else ""
        # What the registry asks for counts where we have no scope, as at /v2/.
        scope = own or tuple(challenge.parameters.get("scope", "").split())
        with self._keys.turn(self._host, scope):
            known = self._keys.token(self._host, scope)
            if known and f"Bearer {known}" != instead_of:
                return f"Bearer {known}"
            token = yield from self._fetch(challenge, scope, login)
        return f"Bearer {token}" if token else ""

    def _fetch(self, challenge: Challenge, scope: Scope, login: Login | None) -> Steps[str]:
        realm = challenge.parameters.get("realm", "")
        self._check(realm)
        service = challenge.parameters.get("service", "")
        question = _question(realm, service, scope, login)
        if login and login.identity:
            response = yield from self._ask_service(_exchange(realm, service, scope, login.identity))
            if response.status in (_NO_EXCHANGE | (_DENIED if login.basic else frozenset())):
                response = yield from self._ask_service(question)
        else:
            response = yield from self._ask_service(question)
        if response.status != 200:
            raise refused(response, shown(realm), hint=_hint(self._host, login, response.status))
        answer = _read_answer(response.content)
        value = answer.token
        if not value or not value.isascii() or not value.isprintable() or len(value) > _MAX_TOKEN:
            raise DeniedError("the token service gave no token", where=shown(realm))
        return self._keys.keep(self._host, scope, answer)

    def _ask_service(self, request: Request) -> Steps[Response]:
        """Ask a token service and follow where it redirects to; a login stays with its origin."""
        for _ in range(_MAX_REDIRECTS):
            response = yield from self._ask(request)
            location = response.header("Location")
            if response.status not in _REDIRECTS or not location:
                return response
            target = headers.resolved(request.url, location)
            self._check(target)
            is_same = headers.origin(target) == headers.origin(request.url)
            if request.method != "GET" and not (is_same and response.status in (307, 308)):
                return response
            sent = request.headers if is_same else ()
            request = msgspec.structs.replace(request, url=target, headers=sent)
        raise DeniedError("the token service redirects in circles", where=shown(request.url))

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


def joined(scopes: Sequence[str]) -> Scope:
    """Return scopes with the actions of those for the same thing taken together, each action once."""
    actions: dict[str, dict[str, None]] = {}
    for scope in scopes:
        thing, _, names = scope.rpartition(":")
        actions.setdefault(thing, {}).update(dict.fromkeys(names.split(",")))
    return tuple(f"{thing}:{','.join(names)}" for thing, names in actions.items())


def _read_answer(content: bytes) -> _Answer:
    """Read what a token service says; null, and numbers as text, are no reason to refuse a token."""
    try:
        raw = msgspec.json.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raw = None
    if not isinstance(raw, dict):
        return _Answer()
    tokens = [raw.get(name) for name in ("token", "access_token")]
    try:
        seconds = float(raw.get("expires_in") or 0)
    except (TypeError, ValueError, OverflowError):
        seconds = 0.0
    token = next((token for token in tokens if isinstance(token, str) and token), "")
    return _Answer(token, seconds if seconds > 0 else _DEFAULT_SECONDS)


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
