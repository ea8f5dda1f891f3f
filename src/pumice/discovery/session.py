"""Everything that discovery needs: connections, logins, the cache of pages, and the clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pumice.discovery.page_cache import PageCache
from pumice.discovery.web import Web
from pumice.registry.reference import normalize_host
from pumice.registry.registry_config import connection_config
from pumice.registry.transport import Urllib3Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pumice.discovery.download import PeerDownload
    from pumice.discovery.web import Reach
    from pumice.progress import Progress
    from pumice.registry.credentials import Credentials
    from pumice.registry.message import Transport
    from pumice.registry.settings import ClientSettings
    from pumice.registry.transport import TlsFiles
    from pumice.store.home import Home


class DiscoverySession:
    """Shared by the discoveries of one command; a context manager."""

    def __init__(
        self,
        home: Home,
        credentials: Credentials,
        settings: ClientSettings,
        progress: Progress,
        *,
        environ: Mapping[str, str],
        port: int | None = None,
        transport: Transport | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
        peers: PeerDownload | None = None,
    ) -> None:
        """``settings`` has the TLS files; ``port`` is that of all discovery pages, None for 443.

        ``clock`` returns seconds since the epoch. ``peers`` may download large files instead.
        """
        self.port = port
        self.peers = peers
        self.home = home
        self.progress = progress
        self.environ = environ
        self.clock = clock
        self.sleep = sleep
        self.pages = PageCache(home, clock)
        self.credentials = credentials
        self.settings = settings
        self.transport = transport or Urllib3Transport(settings.tls, environ, self._tls_for, peer="server")

    def web(self, limit: Reach | None = None) -> Web:
        """Return what sends the requests for one name; ``limit`` is the reach of who named its host."""
        return Web(
            self.transport,
            self.credentials,
            sleep=self.sleep,
            limit=limit,
            allow_http=self.settings.tls.verify is False,
        )

    def close(self) -> None:
        """Close all connections."""
        self.transport.close()

    def __enter__(self) -> DiscoverySession:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _tls_for(self, address: str) -> TlsFiles | None:
        config = connection_config(self.settings.registry_configs, normalize_host(address))
        return config.tls if config else None
