"""The ports of this machine at which a running pod is reachable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pumice.runtime.network.host_ports import PublishedPort
from pumice.runtime.network.keeper import records
from pumice.runtime.pods import pod_store, processes
from pumice.runtime.pods.execute import read_options

if TYPE_CHECKING:
    from pumice.runtime.pods.pod_store import PodState
    from pumice.store.home import Home


def list_ports(state: PodState, home: Home) -> list[PublishedPort]:
    """Return the published ports of a running pod, by their number in it.

    Raises PodError if it ended, or if its plan is damaged.
    """
    processes.require_running(state)
    record = read_attachment(state, home)
    ports = [
        PublishedPort(
            container=port["container"],
            host=port["host"],
            protocol=port["protocol"],
            address=port["address"],
        )
        for port in record.get("ports", [])
    ]
    return sorted(set(ports), key=lambda port: (port.container, port.protocol, port.address, port.host))


def read_attachment(state: PodState, home: Home) -> dict[str, Any]:
    """Return the record of the private network of a pod, empty if it has none; see `keeper.records`.

    Raises PodError if the plan of the pod is damaged.
    """
    attachments = home.root / "networks" / "attachments"
    # The files for name resolution that each app has mounted are in the directory of the pod's network.
    for _, source, _ in read_options(pod_store.read_first_app(state)).mounts:
        directory = Path(source).parent
        if directory.parent == attachments:
            return records.read_record(str(directory))
    return {}
