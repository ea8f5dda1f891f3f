"""Waiting for the end of pods."""

from __future__ import annotations

import time

import msgspec

from pumice.runtime.pods import pod_store, processes
from pumice.runtime.pods.pod_store import PodState
from pumice.runtime.pods.records import Ended

_POLL_SECONDS = 0.02
_REMOVED = Ended(exit_code=137, error="the pod was removed")


def wait_for_end(state: PodState) -> PodState:
    """Wait until a pod has ended, and return its last state, also if it is removed then."""
    while True:
        current = pod_store.read_pod(state.directory)
        if current is None:
            return msgspec.structs.replace(state, state=pod_store.EXITED, ended=state.ended or _REMOVED)
        if current.state == pod_store.EXITED:
            return current
        state = current
        if not state.has_program or not processes.wait_until_ended(state, _POLL_SECONDS):
            time.sleep(0 if state.has_program else _POLL_SECONDS)
