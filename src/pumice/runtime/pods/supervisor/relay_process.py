"""The relay to the metadata service: started when its sockets are complete, and again whenever it ends."""

from __future__ import annotations

import os
import sys
import time
from _socket import CMSG_LEN, SCM_RIGHTS, SOL_SOCKET, socket

from pumice.runtime.sandbox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.pods.supervisor.options import RelayOptions
    from pumice.runtime.pods.supervisor.watch import Watch

_FIRST_DELAY, _LONGEST_DELAY = 0.05, 10.0
"""Seconds until a relay that has ended is started again; they double for one that ends soon."""
_LASTING_SECONDS = 5.0
_DESCRIPTOR_SIZE = 4


class RelayProcess:
    """The relay of a pod. Its listening sockets are open here too, so clients wait while it is restarted."""

    def __init__(self, options: RelayOptions, watch: Watch) -> None:
        self._command = options.command
        self._listeners = list(options.listeners)
        self._watch = watch
        self._pid = 0
        self._started = 0.0
        self._delay = _FIRST_DELAY
        self.due: float | None = None
        """When it is to be started again, None while it runs."""
        for descriptor in (options.channel, *self._listeners):
            os.set_inheritable(descriptor, False)
        watch.add(options.channel, self._receive_listener)

    def _receive_listener(self, channel: int) -> None:
        """Take the listening socket in the network of the pod, or notice that there will be none; start."""
        self._watch.remove(channel)
        connection = socket(fileno=channel)
        try:
            _, messages, _, _ = connection.recvmsg(1, CMSG_LEN(_DESCRIPTOR_SIZE))
        except OSError:
            messages = []
        connection.close()
        for level, kind, data in messages:
            if (level, kind, len(data)) == (SOL_SOCKET, SCM_RIGHTS, _DESCRIPTOR_SIZE):
                descriptor = int.from_bytes(data, sys.byteorder)
                os.set_inheritable(descriptor, False)
                self._listeners.append(descriptor)
        self._start()

    def advance(self) -> None:
        """Start the relay again if it is time."""
        if self.due is not None and time.monotonic() >= self.due:
            self._start()

    def _start(self) -> None:
        self.due = None
        self._started = time.monotonic()
        for descriptor in self._listeners:
            os.set_inheritable(descriptor, True)
        try:
            self._pid = self._spawn()
            self._watch.add(os.pidfd_open(self._pid), self._reap)
        except OSError:  # too many processes or open files
            self.end()
            self._plan_restart()
        finally:
            for descriptor in self._listeners:
                os.set_inheritable(descriptor, False)

    def _spawn(self) -> int:
        end = self._command.index("--")
        command = [*self._command[:end], *map(str, self._listeners), *self._command[end:]]
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            return os.posix_spawn(
                *(command[0], command, {}),
                file_actions=[
                    *((os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1, 2)),
                    *((os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in self._list_others()),
                ],
                setsid=True,
                setsigmask=(),
            )
        finally:
            os.close(null)

    def _list_others(self) -> list[int]:
        """Return the descriptors that are not for the relay: it would keep pipes of apps open."""
        kept = {0, 1, 2, *self._listeners}
        return [number for number in map(int, os.listdir("/proc/self/fd")) if number not in kept]

    def _reap(self, process: int) -> None:
        self._watch.remove(process)
        os.close(process)
        os.waitpid(self._pid, 0)
        self._plan_restart()

    def _plan_restart(self) -> None:
        self._pid = 0
        now = time.monotonic()
        has_lasted = now - self._started >= _LASTING_SECONDS
        self._delay = _FIRST_DELAY if has_lasted else min(2 * self._delay, _LONGEST_DELAY)
        self.due = now + self._delay

    def end(self) -> None:
        """End the relay, if it runs."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
