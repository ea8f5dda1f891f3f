"""The process that a supervisor starts for the metadata service, when descriptors run out."""

from __future__ import annotations

import os
import resource
import socket
import time

from pumice.runtime.pods.supervisor.options import RelayOptions
from pumice.runtime.pods.supervisor.relay_process import RelayProcess
from pumice.runtime.pods.supervisor.watch import Watch

_MAX_STEPS = 1000


def wait_until_due(relay: RelayProcess, watch: Watch) -> None:
    """Wait until the relay has ended, and may be started again."""
    for _ in range(_MAX_STEPS):
        if relay.due is not None and time.monotonic() >= relay.due:
            return
        watch.wait(1000 if relay.due is None else 1 + 1000 * max(0, relay.due - time.monotonic()))
    raise AssertionError("the relay has not ended")


def is_waiting(relay: RelayProcess) -> bool:
    return relay.due is not None


def test_a_relay_that_cannot_be_started_is_started_later() -> None:
    channel, end = socket.socketpair()
    options = RelayOptions(channel.detach())
    options.command = ["/bin/true", "--"]
    watch = Watch()
    relay = RelayProcess(options, watch)
    end.close()
    wait_until_due(relay, watch)
    free = os.dup(0)
    os.close(free)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        relay.advance()
        assert is_waiting(relay)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    wait_until_due(relay, watch)
    relay.advance()
    assert not is_waiting(relay)
    relay.end()
