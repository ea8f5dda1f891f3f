"""Builds the chain of middleware that sends a request to a registry, and the URLs that it is sent to."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from pumice.errors import PumiceError
from pumice.formats.hosts import is_loopback
from pumice.progress import Silent
from pumice.registry import blob_content, headers, registry_config
from pumice.registry.address_checks import AddressGuard
from pumice.registry.auth import Authenticator, AuthState, scope_of
from pumice.registry.credentials import Anonymous
from pumice.registry.errors import NotFoundError
from pumice.registry.message import Request, TransportError
from pumice.registry.middleware import RedirectFollower, run_exchange, send_once
from pumice.registry.reference import api_host, normalize_host
from pumice.registry.retry import Backoff, Retrier
from pumice.registry.settings import ClientSettings
from pumice.registry.time_sources import TimeSources
from pumice.registry.transport import TlsFiles, Urllib3Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.progress import Progress
    from pumice.registry.credentials import Credentials
    from pumice.registry.message import Exchange, Response, Result, SendRequest, Transport
    from pumice.registry.reference import Reference, Repository

_Value = TypeVar("_Value")
_MAX_WARNINGS = 1000


class Connector:
    """Connections to any number of registries, with their tokens; safe for threads."""

    def __init__(
        self,
        credentials: Credentials | None = None,
        settings: ClientSettings | None = None,
        *,
        transport: Transport | None = None,
        progress: Progress | None = None,
        time_sources: TimeSources | None = None,
    ) -> None:
        self.settings = settings or ClientSettings()
        self.time_sources = time_sources or TimeSources()
        self._transport = transport or Urllib3Transport(self.settings.tls, tls_for=self._tls_for)
        self._auth_state = AuthState(credentials or Anonymous(), self.time_sources.monotonic_clock)
        self._progress: Progress = progress or Silent()
        self._warned: set[tuple[str, str]] = set()
        self._warned_lock = threading.Lock()
        self._tls_hosts: dict[str, bool] = {}
        self._tls_lock = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def run(self, exchange: Exchange[Result]) -> Result:
        """Run an exchange and return its result."""
        return run_exchange(exchange, self._transport, self.time_sources.sleep)

    def backoff(self) -> Backoff:
        """Return a new count of failures."""
        return Backoff(self.settings.retry_policy, self.time_sources.jitter)

    def sender(
        self, repository: Repository, actions: str, *, extra_scopes: Sequence[str] = ()
    ) -> SendRequest:
        """Return what sends a request with authentication, retries and redirects.

        ``actions`` are those of the token (``pull``, ``pull,push``), "" for a request that needs no scope.
        """
        repository = self.rewrite(repository)
        own_scope = [scope_of(repository, actions)] if actions else []
        scope = tuple(sorted([*own_scope, *extra_scopes]))
        registry_url = self.registry_url(repository.host)
        guard = AddressGuard(send_once, registry_url)
        times = self.time_sources
        retrier = Retrier(guard, self.settings.retry_policy, times.jitter, times.wall_clock)
        authenticator = Authenticator(retrier, self._auth_state, repository, scope, registry_url)
        send_request = RedirectFollower(authenticator)

        def send_and_report_warnings(request: Request) -> Exchange[Response]:
            response = yield from send_request(request)
            for text in headers.parse_warnings(response.header_values("Warning")):
                self._warn(repository.host, f"warning from {repository.host}: {text}")
            return response

        return send_and_report_warnings

    def try_mirrors(
        self, repository: Repository, attempt: Callable[[Repository], _Value], *, skip_mirrors: bool = False
    ) -> _Value:
        """Call ``attempt`` with each mirror until one has the content, else with the repository itself."""
        configs = () if skip_mirrors else self.settings.registry_configs
        for mirror in registry_config.mirrors_of(configs, repository):
            try:
                value = attempt(mirror)
            except NotFoundError:
                continue
            except PumiceError as error:
                self._warn(mirror.host, f"skipping mirror {mirror}: {error.message}")
                continue
            if value is not None:
                return value
        return attempt(repository)

    # URLs -----------------------------------------------------------------------------------------

    def rewrite(self, repository: Repository) -> Repository:
        """Return the repository that the configuration puts in the place of this one."""
        return registry_config.rewrite_repository(self.settings.registry_configs, repository)

    def registry_url(self, host: str) -> str:
        """Return the URL of a registry, without a path."""
        address = api_host(host)
        config = registry_config.connection_config(self.settings.registry_configs, host)
        has_tls_files = self.settings.tls != TlsFiles() or bool(config and config.tls != TlsFiles())
        is_plain_http = (
            self.settings.plain_http
            or bool(config and config.plain_http)
            or (is_loopback(address) and not has_tls_files)
        )
        if not is_plain_http and self.settings.tls.verify is False and not self._has_tls(address):
            is_plain_http = True
        return f"{'http' if is_plain_http else 'https'}://{address}"

    def _has_tls(self, address: str) -> bool:
        """Return whether a registry answers over TLS, with any certificate; it is asked once."""
        with self._tls_lock:
            if address not in self._tls_hosts:
                try:
                    self._transport.send(Request("GET", f"https://{address}/v2/")).stream.close()
                    self._tls_hosts[address] = True
                except TransportError:
                    self._tls_hosts[address] = False
            return self._tls_hosts[address]

    def repository_url(self, repository: Repository) -> str:
        """Return the URL that those of a repository begin with: ``https://HOST/v2/NAME``."""
        repository = self.rewrite(repository)
        return f"{self.registry_url(repository.host)}/v2/{repository.name}"

    def manifest_url(self, reference: Reference) -> str:
        """Return the URL of a manifest."""
        return f"{self.repository_url(reference.repository)}/manifests/{reference.identifier}"

    def blob_url(self, repository: Repository, digest: str) -> str:
        """Return the URL of a blob; raises FormatError for a digest of an unsupported algorithm."""
        blob_content.new_hasher(digest)
        return f"{self.repository_url(repository)}/blobs/{digest}"

    def _tls_for(self, address: str) -> TlsFiles | None:
        config = registry_config.connection_config(self.settings.registry_configs, normalize_host(address))
        return config.tls if config and self.settings.tls == TlsFiles() else None

    def _warn(self, host: str, text: str) -> None:
        """Report a warning, each only once."""
        with self._warned_lock:
            is_new = (host, text) not in self._warned and len(self._warned) < _MAX_WARNINGS
            self._warned.add((host, text))
        if is_new:
            self._progress.warn(text)
