"""Authentication with registries (RFC 7617, RFC 6750, distribution's token specification).

A registry's first 401 response has its challenge, which is cached per host, as tokens are until they
expire. A login is only sent to the registry itself and to the token service that the registry names, never
over an unencrypted connection to another machine, and never to the target of a redirect.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import msgspec

from pumice.formats.hosts import is_loopback
from pumice.registry import headers
from pumice.registry.errors import DeniedError, RegistryError, redact_url, response_error
from pumice.registry.message import Request, bytes_body
from pumice.registry.reference import Repository, api_host

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.registry.credentials import Credentials, Login
    from pumice.registry.headers import Challenge
    from pumice.registry.message import Exchange, Response, SendRequest

_CLIENT_ID = "pumice"
_DEFAULT_SECONDS = 60
_MARGIN_SECONDS = 10.0
_MAX_TOKEN = 1 << 20
_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DENIAL_STATUSES = frozenset({401, 403, 404})
_REFRESH_UNSUPPORTED = frozenset({404, 405, 501})
_REFRESH_DENIED = frozenset({400, 401, 403})
"""Statuses of token services that accept passwords but not refresh tokens."""

Scope = tuple[str, ...]
"""The scopes of a token, such as ``repository:team/app:pull``."""


class _TokenResponse(msgspec.Struct, frozen=True):
    """A token and its lifetime in seconds."""

    token: str = ""
    lifetime: float = _DEFAULT_SECONDS


class _Token(msgspec.Struct, frozen=True):
    value: str
    expires_at: float


class AuthState:
    """The challenges and tokens of all registries, shared by all requests of a client. Thread-safe."""

    def __init__(self, credentials: Credentials, clock: Callable[[], float]) -> None:
        """``clock`` is monotonic, in seconds."""
        self.credentials = credentials
        self.clock = clock
        self._challenges: dict[str, Challenge] = {}
        self._tokens: dict[tuple[str, Scope], _Token] = {}
        self._locks: dict[tuple[str, Scope], threading.Lock] = {}
        self._pinged: set[str] = set()
        self._lock = threading.Lock()

    def challenge(self, host: str) -> Challenge | None:
        """Return the cached challenge of a host, None if it is unknown."""
        return self._challenges.get(host)

    def store_challenge(self, host: str, challenge: Challenge) -> None:
        """Cache the challenge of a host."""
        self._challenges[host] = challenge

    def lock(self, host: str, scope: Scope) -> threading.Lock:
        """Return the lock that keeps threads from fetching the same token at once."""
        with self._lock:
            return self._locks.setdefault((host, scope), threading.Lock())

    def token(self, host: str, scope: Scope) -> str:
        """Return a cached token that has not expired, or ""."""
        token = self._tokens.get((host, scope))
        return token.value if token and token.expires_at > self.clock() else ""

    def store_token(self, host: str, scope: Scope, response: _TokenResponse) -> str:
        """Cache a token until it expires, and return it."""
        lifetime = max(0.0, min(response.lifetime, 86400.0) - _MARGIN_SECONDS)
        self._tokens[host, scope] = _Token(response.token, self.clock() + lifetime)
        return response.token

    def claim_ping(self, host: str) -> bool:
        """Return True on the first call for a host: the caller then requests its challenge."""
        with self._lock:
            is_first = host not in self._pinged
            self._pinged.add(host)
        return is_first


def scope_of(repository: Repository, actions: str) -> str:
    """Return the scope for ``actions`` (``pull``, ``pull,push``, ``delete``) in a repository."""
    return f"repository:{repository.name}:{actions}"


class Authenticator:
    """Middleware that adds a login or token where a registry requires it, for one repository and scope."""

    def __init__(
        self,
        send_request: SendRequest,
        state: AuthState,
        repository: Repository,
        scope: Scope,
        registry_url: str,
    ) -> None:
        """``registry_url`` is the only origin that gets a login."""
        self._send_request = send_request
        self._state = state
        self._repository = repository
        self._host = repository.host
        self._scope = scope
        self._registry_url = registry_url
        self._origin = headers.origin(registry_url)

    def __call__(self, request: Request) -> Exchange[Response]:
        """Send the request; a response with status 401 means that no available login is accepted."""
        if headers.origin(request.url) != self._origin:
            return (yield from self._send_request(request))
        challenge = self._state.challenge(self._host)
        authorization = (yield from self._authorization(challenge, self._scope)) if challenge else ""
        response = yield from self._send_request(_with_authorization(request, authorization))
        for is_last in (False, True):
            new_challenge = yield from self._new_challenge(response, is_anonymous=not authorization)
            if new_challenge is None:
                return response
            new_authorization = yield from self._new_authorization(
                new_challenge, authorization, is_last=is_last
            )
            if not new_authorization or new_authorization == authorization:
                return response
            response.stream.close()
            authorization = new_authorization
            response = yield from self._send_request(_with_authorization(request, authorization))
        return response

    def _new_challenge(self, response: Response, *, is_anonymous: bool) -> Exchange[Challenge | None]:
        """Return the challenge that a response calls for, None if authentication would not help.

        Some registries deny access without a challenge, or hide private content with a 404: their challenge
        comes from ``/v2/``, where the specification requires one.
        """
        if response.status == 401:
            challenge = _choose_challenge(
                headers.parse_challenges(response.header_values("WWW-Authenticate"))
            )
            if challenge is not None:
                self._state.store_challenge(self._host, challenge)
                return challenge
        if not is_anonymous or response.status not in _DENIAL_STATUSES:
            return None
        if response.status == 404 and self._usable_login() is None:
            return None
        with self._state.lock(self._host, ("ping",)):
            if self._state.claim_ping(self._host):
                ping = yield from self._send_request(Request("GET", f"{self._registry_url}/v2/"))
                challenge = _choose_challenge(
                    headers.parse_challenges(ping.header_values("WWW-Authenticate"))
                )
                if ping.status == 401 and challenge is not None:
                    self._state.store_challenge(self._host, challenge)
        return self._state.challenge(self._host)

    def _new_authorization(self, challenge: Challenge, rejected: str, *, is_last: bool) -> Exchange[str]:
        """Return the authorization to try next: first for our scope, then with the registry's."""
        if not is_last:
            return (yield from self._authorization(challenge, self._scope, rejected=rejected))
        wider_scope = merge_scopes([*self._scope, *challenge.parameters.get("scope", "").split()])
        if challenge.scheme != "bearer" or wider_scope == merge_scopes(self._scope):
            return ""
        try:
            return (yield from self._authorization(challenge, wider_scope, rejected=rejected))
        except RegistryError:
            return ""  # the registry's own error is more informative

    def _usable_login(self) -> Login | None:
        """Return the login, unless it would be sent unencrypted to another machine."""
        scheme, host, _ = self._origin
        if scheme != "https" and not is_loopback(host):
            return None
        return self._state.credentials.find_login(self._repository)

    def _authorization(self, challenge: Challenge, own_scope: Scope, rejected: str = "") -> Exchange[str]:
        login = self._usable_login()
        if login is not None and login.registry_token:
            return f"Bearer {login.registry_token}"
        if challenge.scheme == "basic":
            return login.basic_authorization if login else ""
        # Without a scope of our own, as for /v2/, use the registry's.
        scope = own_scope or tuple(challenge.parameters.get("scope", "").split())
        with self._state.lock(self._host, scope):
            cached_token = self._state.token(self._host, scope)
            if cached_token and f"Bearer {cached_token}" != rejected:
                return f"Bearer {cached_token}"
            token = yield from self._fetch_token(challenge, scope, login)
        return f"Bearer {token}" if token else ""

    def _fetch_token(self, challenge: Challenge, scope: Scope, login: Login | None) -> Exchange[str]:
        realm = challenge.parameters.get("realm", "")
        self._check_realm(realm)
        service = challenge.parameters.get("service", "")
        token_request = _token_request(realm, service, scope, login)
        if login and login.identity_token:
            response = yield from self._send_to_token_service(
                _refresh_request(realm, service, scope, login.identity_token)
            )
            if response.status in (
                _REFRESH_UNSUPPORTED | (_REFRESH_DENIED if login.basic_authorization else frozenset())
            ):
                response = yield from self._send_to_token_service(token_request)
        else:
            response = yield from self._send_to_token_service(token_request)
        if response.status != 200:
            raise response_error(
                response, redact_url(realm), hint=_login_hint(self._host, login, response.status)
            )
        token_response = _read_token_response(response.content)
        token = token_response.token
        if not token or not token.isascii() or not token.isprintable() or len(token) > _MAX_TOKEN:
            raise DeniedError("the token service returned no token", where=redact_url(realm))
        return self._state.store_token(self._host, scope, token_response)

    def _send_to_token_service(self, request: Request) -> Exchange[Response]:
        """Send a request to a token service and follow redirects; a login is not sent to another origin."""
        for _ in range(_MAX_REDIRECTS):
            response = yield from self._send_request(request)
            location = response.header("Location")
            if response.status not in _REDIRECTS or not location:
                return response
            target = headers.resolve_url(request.url, location)
            self._check_realm(target)
            is_same = headers.origin(target) == headers.origin(request.url)
            if request.method != "GET" and not (is_same and response.status in (307, 308)):
                return response
            sent_headers = request.headers if is_same else ()
            request = msgspec.structs.replace(request, url=target, headers=sent_headers)
        raise DeniedError("too many redirects by the token service", where=redact_url(request.url))

    def _check_realm(self, realm: str) -> None:
        """Raise DeniedError for a token service that is less protected than the registry."""
        absolute_realm = headers.resolve_url(realm, realm)
        if not absolute_realm:
            raise DeniedError("the registry does not name a usable token service", where=self._host)
        parts = urlsplit(absolute_realm)
        host = parts.hostname or ""
        is_plain = parts.scheme == "http"
        is_local = is_loopback(host) and is_loopback(api_host(self._host))
        if is_plain and not is_local and (self._origin[0] == "https" or host != self._origin[1]):
            raise DeniedError(
                "refusing to send a login to a token service without TLS",
                where=redact_url(realm),
            )


def merge_scopes(scopes: Sequence[str]) -> Scope:
    """Return one scope per resource, with all its actions, each once."""
    actions: dict[str, dict[str, None]] = {}
    for scope in scopes:
        resource, _, names = scope.rpartition(":")
        actions.setdefault(resource, {}).update(dict.fromkeys(names.split(",")))
    return tuple(f"{resource}:{','.join(names)}" for resource, names in actions.items())


def _read_token_response(content: bytes) -> _TokenResponse:
    """Read the response of a token service, leniently: with null values, and numbers as strings."""
    try:
        decoded = msgspec.json.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        decoded = None
    if not isinstance(decoded, dict):
        return _TokenResponse()
    tokens = [decoded.get(name) for name in ("token", "access_token")]
    try:
        seconds = float(decoded.get("expires_in") or 0)
    except (TypeError, ValueError, OverflowError):
        seconds = 0.0
    token = next((token for token in tokens if isinstance(token, str) and token), "")
    return _TokenResponse(token, seconds if seconds > 0 else _DEFAULT_SECONDS)


def _with_authorization(request: Request, authorization: str) -> Request:
    return request.with_headers(("Authorization", authorization)) if authorization else request


def _choose_challenge(challenges: tuple[Challenge, ...]) -> Challenge | None:
    """Return the preferred supported challenge: bearer tokens before basic authentication."""
    for scheme in ("bearer", "basic"):
        for challenge in challenges:
            if challenge.scheme == scheme and (scheme == "basic" or challenge.parameters.get("realm")):
                return challenge
    return None


def _token_request(realm: str, service: str, scope: Scope, login: Login | None) -> Request:
    query = [("service", service)] if service else []
    query += [("scope", item) for item in scope]
    if login is not None and login.username:
        query.append(("account", login.username))
    separator = "&" if "?" in realm else "?"
    headers_sent = (
        (("Authorization", login.basic_authorization),) if login and login.basic_authorization else ()
    )
    return Request(
        "GET", realm + (separator + urlencode(query) if query else ""), headers_sent, limit=_MAX_TOKEN
    )


def _refresh_request(realm: str, service: str, scope: Scope, refresh_token: str) -> Request:
    form = {
        "grant_type": "refresh_token",
        "service": service,
        "client_id": _CLIENT_ID,
        "scope": " ".join(scope),
        "refresh_token": refresh_token,
    }
    headers_sent = (("Content-Type", "application/x-www-form-urlencoded"),)
    return Request("POST", realm, headers_sent, body=bytes_body(urlencode(form).encode()), limit=_MAX_TOKEN)


def _login_hint(host: str, login: Login | None, status: int) -> str | None:
    if status not in (400, 401, 403):
        return None
    reason = "the login was not accepted: " if login else ""
    return f"{reason}log in with pumice login {host}"
