"""What runc and crun leave if they are killed: bundles (`launch.bundles`) and control groups."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from pumice.runtime.launch.bundles import PREFIX, remove_bundle

_CGROUPS = Path("/sys/fs/cgroup")
_MAX_DEPTH = 12


def remove_stale_bundles(parent: Path) -> None:
    """Remove the bundles below ``parent`` that nobody holds, and the control groups with their names."""
    for bundle in parent.glob(f"{PREFIX}*"):
        try:
            descriptor = os.open(bundle, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # it is in use, or it is unknown whether it is
            continue
        else:
            _remove_control_groups(bundle.name)
            remove_bundle(str(bundle))
        finally:
            os.close(descriptor)


def _remove_control_groups(name: str) -> None:
    """Remove empty control groups with a name, the deepest first."""
    for parent, directories, _ in os.walk(_CGROUPS):
        if parent.count("/") - str(_CGROUPS).count("/") >= _MAX_DEPTH:
            directories.clear()
        if name in directories:
            directories.remove(name)
            for path, _, _ in os.walk(f"{parent}/{name}", topdown=False):
                with suppress(OSError):
                    Path(path).rmdir()
