"""What the commands share that discover names: options, and connections."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli.image_access import registries
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from pumice.cli.parsing.arguments import OptionGroup
    from pumice.discovery.session import DiscoverySession
    from pumice.formats.oci import Platform
    from pumice.progress import Progress
    from pumice.store.home import Home
    from pumice.swarm.file_peers import FilePeers


def add_port_option(parser: OptionGroup) -> None:
    """Add ``--port`` as ``port``."""
    parser.add_argument(
        "--port", type=parse_port, metavar="PORT", help="port of the discovery pages (default: 443)"
    )


def parse_port(text: str) -> int:
    """Return the number of a port; raises UsageError."""
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= 65535):
        raise UsageError(f"{text[:40]!r} is not a port", hint="use a number from 1 to 65535")
    return int(text)


def find_platform(text: str | None) -> Platform:
    """Return the platform of ``--platform``, by default that of this machine."""
    from pumice.formats import platforms

    return platforms.parse_platform(text) if text else platforms.from_machine(os.uname().machine)


def open_session(
    name: str,
    options: argparse.Namespace,
    home: Home,
    progress: Progress,
    peers: FilePeers | None = None,
) -> DiscoverySession:
    """Return the connections for a name; the login of ``--creds`` is for its host only."""
    from pumice.discovery.session import DiscoverySession

    host = name.partition("/")[0]
    port = options.port
    hosts = frozenset({host if port in (None, 443) else f"{host}:{port}"})
    return DiscoverySession(
        home,
        registries.find_credentials(options, hosts),
        registries.client_settings(options),
        progress,
        environ=os.environ,
        port=port,
        peers=peers.download if peers else None,
    )
