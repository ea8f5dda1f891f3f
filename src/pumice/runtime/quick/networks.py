"""The private network of a run by a plan: made anew for each run, because it has an address and ports.

What makes networks imports more than the rest of this package, and is imported only for such a plan.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pumice.progress import Silent
from pumice.runtime.name_resolution import NameResolution
from pumice.runtime.network import start
from pumice.runtime.network.port_options import PortRequest
from pumice.runtime.network.request import NetworkRequest
from pumice.store.home import Home

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.runtime.network.attachment import Attachment
    from pumice.runtime.quick.plans import Plan


def describe(
    request: NetworkRequest,
    names: NameResolution,
    hostname: str,
    exposed_ports: Iterable[str],
    attachment: Attachment,
) -> tuple[str, ...]:
    """Return the words from which `prepare` makes such a network again; empty if it needs more than them."""
    usual = NetworkRequest(
        mode=request.mode, name=request.name, address=request.address, publish=request.publish
    )
    directory = str(attachment.directory)
    # In the JSON of a bundle, such a path is the same text.
    is_plain = directory.isascii() and directory.isprintable() and not set(directory) & {'"', "\\"}
    is_usual = request == usual and names == NameResolution() and not attachment.has_steps
    if not (is_usual and is_plain):
        return ()
    published = map(_encode_port, request.publish)
    head = (directory, hostname, request.mode, request.name, request.address, str(len(request.publish)))
    return (*head, *published, *exposed_ports)


def _encode_port(port: PortRequest) -> str:
    return f"{port.container}/{port.protocol}/{','.join(map(str, port.candidates))}/{port.address}"


def _decode_port(text: str) -> PortRequest:
    container, protocol, candidates, address = text.split("/")
    return PortRequest(
        container=int(container),
        protocol="udp" if protocol == "udp" else "tcp",
        address=address,
        candidates=tuple(map(int, filter(None, candidates.split(",")))),
    )


def prepare(plan: Plan, store: str) -> Attachment | None:
    """Return a network for a plan, and let its launch use that; None if this run needs the usual way.

    Raises SandboxError and UsageError as `start.prepare_network` does.
    """
    old, hostname, mode, name, address, count, *ports = plan.network
    publish, exposed_ports = map(_decode_port, ports[: int(count)]), ports[int(count) :]
    home = Home(Path(store))
    try:
        attachment = start.prepare_network(
            NetworkRequest(mode=mode, name=name, address=address, publish=tuple(publish)),
            exposed_ports,
            home,
            hostname=hostname,
            names=NameResolution(),
            progress=Silent(),
        )
    finally:
        home.close()
    if attachment is None:
        return None
    # A port that differs from that of the image must be reported.
    if any(port.is_chosen for port in attachment.ports) or not plan.move_network(
        old, str(attachment.directory)
    ):
        attachment.close()
        return None
    return attachment
