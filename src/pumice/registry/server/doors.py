"""Who gets in: users by their passwords, and no page of a browser that was lured here."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from pumice.registry.server import answers

if TYPE_CHECKING:
    from collections.abc import Collection

    from pumice.registry.server.access import Access
    from pumice.registry.server.answers import Answer
    from pumice.registry.server.threads import Threads

CHALLENGE = ("www-authenticate", 'Basic realm="pumice"')
VERSION = ("docker-distribution-api-version", "registry/2.0")
WAITING = 64
"""Passwords that may wait for being checked; more get 429."""


class Logins:
    """The passwords that are being checked, which takes long on purpose."""

    def __init__(self, access: Access, threads: Threads) -> None:
        self._access = access
        self._run = threads.run
        self._checking = 0

    async def who(self, headers: Any) -> tuple[str | None, Answer | None]:
        """Return the user, or why that is not to be known; None is somebody with a wrong password."""
        authorization = headers.get("authorization")
        known, user = self._access.known(authorization)
        if not known:
            if self._checking >= WAITING:
                return None, answers.error(answers.TOO_MANY_REQUESTS, headers=[("retry-after", "1")])
            self._checking += 1
            try:
                user = await self._run(self._access.check, authorization)
            finally:
                self._checking -= 1
        if user is None:
            return None, answers.error(
                answers.UNAUTHORIZED, "the user name or password is wrong", headers=[CHALLENGE, VERSION]
            )
        return user, None


def malformed(scope: Any) -> Answer | None:
    """Refuse a request that does not say once to which host it goes (RFC 9112, 3.2)."""
    if len(scope.headers.get_all("host")) == 1 or scope.http_version != "1.1":
        return None
    return answers.error(answers.MALFORMED, "the request needs one Host header, and no more")


def lured(scope: Any, hosts: Collection[str]) -> Answer | None:
    """Refuse what a web page makes a browser send to this machine.

    Whoever can be reached on loopback alone, and lets everybody write, trusts everything that this
    machine sends; a browser is not meant. A page of another site is known by ``Origin``, and one whose
    name was pointed to this machine (DNS rebinding) by ``Host``: it is neither loopback nor in ``hosts``.
    """
    if scope.headers.get("origin") is not None:
        return answers.error(answers.DENIED, "web pages may not use this registry")
    host = _host(scope.headers.get("host") or "")
    if host in hosts or _is_loopback(host):
        return None
    message = "this registry only serves this machine, and it is not called so here; see --listen"
    return answers.error(answers.DENIED, message)


def _host(text: str) -> str:
    """Return a Host header without its port."""
    if text.startswith("["):
        return text[1:].partition("]")[0].lower()
    return text.partition(":")[0].lower().removesuffix(".")


def _is_loopback(host: str) -> bool:
    if host in ("localhost", "") or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
