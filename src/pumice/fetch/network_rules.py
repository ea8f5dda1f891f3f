"""Chooses proxy, certificates and login for a URL as apt on this machine would.

Pure functions of apt's configuration and the environment (apt-transport-http(1), apt-transport-https(1),
apt_auth.conf(5)); nothing here opens a connection. `Proxy-Auto-Detect` names a program, which is not run.
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
    """How to connect to a host; requests with equal routes share connections.

    ``proxy`` is a URL without a login ("": none), ``proxy_login`` the value of Proxy-Authorization and
    ``timeout`` in seconds.
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
    """Whether TLS is used: reading the machine's certificates takes longer than many downloads."""


class NetworkRules:
    """The rules of one machine; without apt's configuration, only those of the environment."""

    def __init__(self, machine: AptSetup | None, environ: Mapping[str, str]) -> None:
        self._configuration = machine.configuration if machine else None
        self._logins = machine.logins if machine else ()
        self._environ = environ

    def route(self, url: str) -> Route:
        """Return how to connect to the host of ``url``; raises FetchError for an unsupported proxy."""
        split_url = parse_url(url)
        host = (split_url.hostname or "").lower()
        proxy, login = self._find_proxy(split_url.scheme, host)
        if split_url.scheme != "https":
            timeout = self._get_timeout(split_url.scheme, host)
            return Route(proxy=proxy, proxy_login=login, timeout=timeout, tls=proxy.startswith("https"))
        return Route(
            proxy=proxy,
            proxy_login=login,
            ca_file=self._get_option("https", "CAInfo", host),
            certificate=self._get_option("https", "SSLCert", host),
            key=self._get_option("https", "SSLKey", host),
            verify_peer=self._is_enabled("Verify-Peer", host),
            verify_host=self._is_enabled("Verify-Host", host),
            timeout=self._get_timeout("https", host),
            tls=True,
        )

    def login(self, url: str) -> str:
        """Return the Authorization header for ``url``, "" for none.

        A login in the URL takes precedence. An entry of apt's login files is for encrypted connections
        only, unless it begins with http://.
        """
        split_url = parse_url(url)
        if split_url.username:
            return _encode_basic_authorization(unquote(split_url.username), unquote(split_url.password or ""))
        return self._find_login(split_url.scheme, split_url.hostname or "", split_url.port, split_url.path)

    def _find_login(self, scheme: str, host: str, port: int | None, path: str) -> str:
        for login in self._logins:
            if login.user and login.matches(scheme, host, port, path):
                return _encode_basic_authorization(login.user, login.password)
        return ""

    def _find_proxy(self, scheme: str, host: str) -> tuple[str, str]:
        host_proxy = self._get_host_option(scheme, "Proxy", host)
        default_proxy = self._get_default_option(scheme, "Proxy") or self._get_environment_proxy(scheme)
        proxy = host_proxy or default_proxy
        if proxy.upper() == "DIRECT" or not proxy or self._is_exempt(host):
            return "", ""
        if "://" not in proxy:
            proxy = f"http://{proxy}"
        proxy_parts = parse_url(proxy)
        if proxy_parts.scheme not in {"http", "https"} or not proxy_parts.hostname:
            raise FetchError(
                f"cannot use a proxy with the scheme {proxy_parts.scheme!r}",
                hint="use an http or https proxy, or DIRECT for this host",
            )
        if proxy_parts.username:
            login = _encode_basic_authorization(
                unquote(proxy_parts.username), unquote(proxy_parts.password or "")
            )
        else:
            login = self._find_login(proxy_parts.scheme, proxy_parts.hostname, proxy_parts.port, "")
        return without_login(proxy), login

    def _get_environment_proxy(self, scheme: str) -> str:
        names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
        # A CGI server sets HTTP_PROXY from a header of the request; apt ignores it as well.
        values = (self._environ.get(name, "") for name in names if name != "HTTP_PROXY")
        return next((value for value in values if value), "")

    def _is_exempt(self, host: str) -> bool:
        """Return whether no_proxy lists ``host`` or one of its parent domains."""
        exempt_hosts = self._environ.get("no_proxy") or self._environ.get("NO_PROXY") or ""
        for pattern in exempt_hosts.replace(",", " ").lower().split():
            domain = pattern.removeprefix("*").lstrip(".")
            if pattern == "*" or host == domain or host.endswith(f".{domain}"):
                return True
        return False

    def _get_option(self, scheme: str, name: str, host: str) -> str:
        return self._get_host_option(scheme, name, host) or self._get_default_option(scheme, name)

    def _get_host_option(self, scheme: str, name: str, host: str) -> str:
        return self._get(scheme, f"{name}::{host}")

    def _get_default_option(self, scheme: str, name: str) -> str:
        return self._get(scheme, name)

    def _get(self, scheme: str, name: str) -> str:
        """Return an option of apt; one for https defaults to that for http."""
        if self._configuration is None:
            return ""
        value = self._configuration.get(f"Acquire::{scheme}::{name}")
        if not value and scheme == "https":
            value = self._configuration.get(f"Acquire::http::{name}")
        return value

    def _is_enabled(self, name: str, host: str) -> bool:
        from pumice.formats.aptconf import parse_boolean

        return parse_boolean(self._get_option("https", name, host)) is not False

    def _get_timeout(self, scheme: str, host: str) -> float:
        text = self._get_option(scheme, "Timeout", host)
        return float(text) if text.isascii() and text.isdigit() and 0 < int(text[:6]) <= 3600 else 30.0


def parse_url(url: str) -> SplitResult:
    """Return the parts of a URL; raises FetchError if it is malformed."""
    try:
        split_url = urlsplit(url)
        _ = split_url.port  # urllib parses the port only when it is read
    except ValueError as error:
        raise FetchError(f"{url[:200]!r} is not a valid URL: {error}") from None
    return split_url


def without_login(url: str) -> str:
    """Return ``url`` without user and password: for messages, files and other hosts."""
    split_url = parse_url(url)
    return urlunsplit(
        (split_url.scheme, split_url.netloc.rpartition("@")[2], split_url.path, split_url.query, "")
    )


def _encode_basic_authorization(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
