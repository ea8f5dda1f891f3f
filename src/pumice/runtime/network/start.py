"""Preparing the network of a container that is about to start."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice.runtime.network import attachment, support
from pumice.runtime.network.port_options import declared_ports
from pumice.runtime.network.request import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.progress import Progress
    from pumice.runtime.name_resolution import NameResolution
    from pumice.runtime.network.attachment import Attachment
    from pumice.runtime.network.request import NetworkRequest
    from pumice.store.home import Home


def prepare_network(
    request: NetworkRequest,
    declared: Iterable[str],
    home: Home,
    *,
    hostname: str,
    names: NameResolution,
    progress: Progress,
) -> Attachment | None:
    """Return the attachment of a container to a private network, None if it uses that of the host.

    ``declared`` are the ports that the image declares. Raises the errors of `support.decide_mode` and
    `attachment.prepare`.
    """
    mode, driver = support.decide_mode(request, os.environ)
    if driver is None or mode != PRIVATE:
        return None
    exposed = tuple(dict.fromkeys((*request.exposed, *declared_ports(declared))))
    request = msgspec.structs.replace(request, exposed=exposed)
    prepared = attachment.prepare(home, request, driver, hostname=hostname, names=names, environ=os.environ)
    for port in prepared.ports:
        if port.is_chosen:
            progress.note(f"published {port}")
    return prepared
