"""How to reach a host the way apt on this machine would: proxy, certificates, login.

Pure rules over apt's configuration and the environment (apt-transport-http(1), apt-transport-https(1),
apt_auth.conf(5)); nothing here opens a connection. `Proxy-Auto-Detect` is a program and is not run.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from pumice.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from pumice.distro.debian.apt_setup import AptSetup


class Route(msgspec.Struct, frozen=True):
    """How connections to one host are made; equal routes can share their connections.

    ``proxy`` is a URL without login ("": none), ``proxy_login`` the value of Proxy-Authorization.
    """

    proxy: str = ""
    proxy_login: str = ""
    ca_file: str = ""
    certificate: str = ""
    key: str = ""
    verify_peer: bool = True
    verify_host: bool = True
    timeout: float = 30.0
    tls: bool = False
    """Whether certificates matter: reading the machine's takes longer than many downloads."""


class Rules:
    """The rules of one machine; without a machine those of the environment alone."""

    def __init__(self, machine: AptSetup | None, environ: Mapping[str, str]) -> None:
        self._configuration = machine.configuration if machine else None
        self._logins = machine.logins if machine else ()
        self._environ = environ

    def route(self, url: str) -> Route:
        """Return how to reach the host of ``url``; raises FetchError for a proxy that makes no sense."""
        parts = split(url)
        host = (parts.hostname or "").lower()
        proxy, login = self._proxy(parts.scheme, host)
        if parts.scheme != "https":
            timeout = self._timeout(parts.scheme, host)
            return Route(proxy=proxy, proxy_login=login, timeout=timeout, tls=proxy.startswith("https"))
        return Route(
            proxy=proxy,
            proxy_login=login,
            ca_file=self._option("https", "CAInfo", host),
            certificate=self._option("https", "SSLCert", host),
            key=self._option("https", "SSLKey", host),
            verify_peer=self._flag("Verify-Peer", host),
            verify_host=self._flag("Verify-Host", host),
            timeout=self._timeout("https", host),
            tls=True,
        )

    def login(self, url: str) -> str:
        """Return the Authorization that ``url`` should be asked for with, "" for none.

        What stands in the URL itself goes first. An entry of apt's login files is for encrypted
        connections only, unless it says http:// in as many words.
        """
        parts = split(url)
        if parts.username:
            return _basic(unquote(parts.username), unquote(parts.password or ""))
        return self._login(parts.scheme, parts.hostname or "", parts.port, parts.path)

    def _login(self, scheme: str, host: str, port: int | None, path: str) -> str:
        for login in self._logins:
            if login.user and login.matches(scheme, host, port, path):
                return _basic(login.user, login.password)
        return ""

    def _proxy(self, scheme: str, host: str) -> tuple[str, str]:
        specific = self._option_of_host(scheme, "Proxy", host)
        general = self._plain_option(scheme, "Proxy") or self._environment_proxy(scheme)
        chosen = specific or general
        if chosen.upper() == "DIRECT" or not chosen or self._exempt(host):
            return "", ""
        if "://" not in chosen:
            chosen = f"http://{chosen}"
        parts = split(chosen)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise FetchError(
                f"a proxy of the kind {parts.scheme} is not supported",
                hint="use an http or https proxy, or DIRECT for this host",
            )
        if parts.username:
            login = _basic(unquote(parts.username), unquote(parts.password or ""))
        else:
            login = self._login(parts.scheme, parts.hostname, parts.port, "")
        return without_login(chosen), login

    def _environment_proxy(self, scheme: str) -> str:
        names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
        # HTTP_PROXY can be set from outside where a program runs as CGI; apt ignores it as well.
        found = (self._environ.get(name, "") for name in names if name != "HTTP_PROXY")
        return next((value for value in found if value), "")

    def _exempt(self, host: str) -> bool:
        """Whether no_proxy names ``host`` or a domain it is in."""
        text = self._environ.get("no_proxy") or self._environ.get("NO_PROXY") or ""
        for item in text.replace(",", " ").lower().split():
            domain = item.removeprefix("*").lstrip(".")
            if item == "*" or host == domain or host.endswith(f".{domain}"):
                return True
        return False

    def _option(self, scheme: str, name: str, host: str) -> str:
        return self._option_of_host(scheme, name, host) or self._plain_option(scheme, name)

    def _option_of_host(self, scheme: str, name: str, host: str) -> str:
        return self._get(scheme, f"{name}::{host}")

    def _plain_option(self, scheme: str, name: str) -> str:
        return self._get(scheme, name)

    def _get(self, scheme: str, name: str) -> str:
        """An option of https defaults to that of http."""
        if self._configuration is None:
            return ""
        value = self._configuration.get(f"Acquire::{scheme}::{name}")
        if not value and scheme == "https":
            value = self._configuration.get(f"Acquire::http::{name}")
        return value

    def _flag(self, name: str, host: str) -> bool:
        return self._option("https", name, host).lower() not in {
            "false",
            "no",
            "0",
            "off",
            "without",
            "disable",
        }

    def _timeout(self, scheme: str, host: str) -> float:
        text = self._option(scheme, "Timeout", host)
        return float(text) if text.isascii() and text.isdigit() and 0 < int(text[:6]) <= 3600 else 30.0


def split(url: str) -> SplitResult:
    """Take a URL apart; raises FetchError for one that is malformed."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - it is parsed when it is asked for
    except ValueError as error:
        raise FetchError(f"{url[:200]!r} is not a URL ({error})") from None
    return parts


def without_login(url: str) -> str:
    """Return ``url`` without user and password: for people, files and other hosts."""
    parts = split(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
