"""The settings of a registry client."""

from __future__ import annotations

import msgspec

from pumice.registry.registry_config import RegistryConfig
from pumice.registry.retry import RetryPolicy
from pumice.registry.transport import TlsFiles


class ClientSettings(msgspec.Struct, frozen=True):
    """How a client connects, uploads and retries.

    ``plain_http`` connects without TLS; loopback addresses are always reached that way unless ``tls``
    names files. ``chunk_size`` is the number of bytes in one upload request, 0 for the whole blob.
    """

    plain_http: bool = False
    tls: TlsFiles = TlsFiles()
    chunk_size: int = 0
    retry_policy: RetryPolicy = RetryPolicy()
    registry_configs: tuple[RegistryConfig, ...] = ()
    """Mirrors, rewrites and TLS files of individual registries."""
