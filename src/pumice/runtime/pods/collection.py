"""Collecting pods that ended, and what engines left behind that were killed."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.runtime.isolation import control_groups
from pumice.runtime.network import collection as networks
from pumice.runtime.pods import pod_store
from pumice.runtime.stage1 import bundles

if TYPE_CHECKING:
    from pumice.runtime.pods.pod_store import PodState
    from pumice.store.home import Home


def collect_pods(home: Home, grace_seconds: float, now: float | None = None) -> int:
    """Remove pods that do not run and ended ``grace_seconds`` ago; return their number.

    Remove also the bundles, control groups and networks of engines that were killed.
    """
    cutoff = (time.time() if now is None else now) - grace_seconds
    count = 0
    for state in pod_store.list_pods(home):
        if state.state == pod_store.EXITED:
            pod_store.thaw_remains(state.directory)
        is_idle = state.state in (pod_store.EXITED, pod_store.CREATED, pod_store.PREPARED)
        if is_idle and _last_change(state) <= cutoff:
            count += pod_store.remove_pod(home, state)
    control_groups.remove_all_abandoned()
    networks.collect(home)
    for parent in (*_subdirectories(home.root / "trees"), *_subdirectories(home.root / "pods")):
        bundles.remove_stale_bundles(parent)
    return count


def _last_change(state: PodState) -> float:
    """Return when a pod ended; for one whose end nobody saw, when its directory last changed."""
    paths = [state.directory / "ended", state.directory / "log", state.directory]
    for path in paths if state.ended else paths[2:]:
        with suppress(OSError):
            return path.stat().st_mtime
    return 0.0


def _subdirectories(path: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
