"""Collecting what networks of pods left behind whose keeper was killed, and networks without pods."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.runtime.network import configurations
from pumice.runtime.network.directories import release_abandoned

if TYPE_CHECKING:
    from pumice.store.home import Home

_SECONDS = 60


def collect(home: Home) -> int:
    """Release the networks of pods that are gone, and the bridges that no pod uses; return their number.

    Call it from ``gc``. Networks of running pods are left alone.
    """
    networks = home.directory("networks")
    attachments = networks / "attachments"
    if not attachments.is_dir():
        return 0
    count = release_abandoned(attachments)
    with home.lock("networks"):
        if not any(path.is_dir() for path in attachments.iterdir()):
            count += _remove_bridges(networks)
    return count


def _remove_bridges(networks: Path) -> int:
    """Remove the bridges and the address files of the networks that Pumice created."""
    import subprocess

    count = 0
    delete = ("ip", "link", "delete")
    for path in sorted((networks / "net.d").glob("*.conflist")):
        with suppress(OSError, subprocess.TimeoutExpired):
            bridge = str(configurations.read_configuration(path).plugins[0].get("bridge", ""))
            if bridge.startswith("pumice") and Path("/sys/class/net", bridge).is_dir():
                subprocess.run([*delete, bridge], capture_output=True, check=False, timeout=_SECONDS)
                count += 1
    shutil.rmtree(networks / "addresses", ignore_errors=True)
    return count
