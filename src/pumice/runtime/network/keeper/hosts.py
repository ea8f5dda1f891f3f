"""The ``/etc/hosts`` of pods: the pod's own name, and the names of the other pods on a named network."""

from __future__ import annotations

import fcntl
import os

from pumice.runtime.network.keeper import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HOSTS, BASE = "hosts", "hosts.base"


def rewrite_members(directory: str, network: str) -> None:
    """Rewrite the hosts of every pod on ``network``; ``directory`` has the attachments.

    The files are written in place, because they are mounted in the pods.
    """
    with open(os.path.join(directory, ".names"), "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        members = {}
        for name in sorted(os.listdir(directory)):
            record = records.read_record(os.path.join(directory, name))
            if record.get("network") == network and record.get("addresses"):
                members[name] = record
        for name in members:
            write_hosts(os.path.join(directory, name), list(members.values()))


def write_hosts(directory: str, members: list[dict[str, Any]]) -> None:
    """Write the hosts of one attachment: its base, then a line for each address of ``members``."""
    try:
        with open(os.path.join(directory, BASE), encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
        for record in members:
            names = " ".join(record.get("names", ()))
            text += "".join(f"{address}\t{names}\n" for address in record["addresses"] if names)
        data = text.encode(errors="surrogateescape")
        descriptor = os.open(os.path.join(directory, HOSTS), os.O_WRONLY)
    except OSError:  # the pod has ended
        return
    try:
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)
