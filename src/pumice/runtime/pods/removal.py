"""Stopping and removing pods, and collecting those that ended some time ago."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from pumice.errors import PodError
from pumice.runtime.pods import pausing, pod_store, processes

if TYPE_CHECKING:
    from pumice.runtime.pods.pod_store import PodState
    from pumice.store.home import Home

STOP_SECONDS = 10
_KILL_SECONDS = 10


def stop_pod(state: PodState, seconds: float = STOP_SECONDS) -> bool:
    """Ask the program of a pod to end with its stop signal, and kill it after ``seconds``.

    Return False if it did not run. Raises PodError if it is paused, or cannot be ended.
    """
    if not state.has_program:
        return False
    processes.require_unpaused(state)
    try:
        if state.pod.apps:
            processes.ask_to_stop(state)
        else:
            processes.send_signal(state, processes.parse_signal(state.pod.stop_signal))
        if processes.wait_until_ended(state, seconds):
            return True
    except PodError:
        if processes.wait_until_ended(state, 0):
            return True
        # The program has ended already, or is not to be found: only its supervisor is left.
    kill_pod(state)
    return True


def kill_pod(state: PodState) -> None:
    """End a running pod at once; raises PodError if it does not end."""
    with suppress(PodError):
        if state.pod.apps:
            processes.ask_to_stop(state)  # so that no more apps are started
        pausing.send_signal(state, signal.SIGKILL)
    if processes.wait_until_ended(state, _KILL_SECONDS) or state.started is None:
        return
    with processes.open_main_process(state) as process:
        signal.pidfd_send_signal(process, signal.SIGKILL)
    if not processes.wait_until_ended(state, _KILL_SECONDS):
        raise PodError(f"cannot end the pod {state.pod.name}: its processes do not react to signals")


def remove_pod(home: Home, state: PodState, *, force: bool = False) -> None:
    """Remove a pod; ``force`` ends it first. Raises PodError if it runs."""
    if force and state.has_program:
        kill_pod(state)
    if pod_store.remove_pod(home, state) or not os.path.lexists(state.directory):
        return
    is_paused = state.state == pod_store.PAUSED
    first = "resume it with 'pumice unpause" if is_paused else "stop it with 'pumice stop"
    raise PodError(
        f"the pod {state.pod.name} is {'paused' if is_paused else 'running'}",
        hint=f"{first} {state.pod.name}', or pass --force",
    )
