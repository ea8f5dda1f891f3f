"""The process that holds the namespaces of a pod of several apps."""

from __future__ import annotations

import os

from pumice.runtime.pods.supervisor.watch import is_readable
from pumice.runtime.sandbox import main as sandbox
from pumice.runtime.sandbox.descriptors import close_others
from pumice.runtime.sandbox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pumice.runtime.pods.supervisor.options import AppOptions
    from pumice.runtime.pods.supervisor.watch import Watch

_MAX_REASON = 1 << 16


class Holder:
    """The holder, started at once. Its ``executed`` pipe passes the number of the process that apps join."""

    def __init__(self, options: AppOptions, watch: Watch) -> None:
        self._options = options
        self._watch = watch
        self._process = -1
        self.failure = ""
        """Why there are no namespaces, once that is known."""
        self._child = os.fork()
        if self._child == 0:
            self._run(options)
        for descriptor in (options.reasons[1], options.executed[1], *options.inherited):
            os.close(descriptor)
        watch.add(options.executed[0], self._read_process)

    @staticmethod
    def _run(options: AppOptions) -> NoReturn:
        try:
            close_others({0, 1, 2, options.reasons[1], options.executed[1], *options.inherited})
            os._exit(sandbox.main(options.sandbox))
        finally:
            os._exit(125)

    @property
    def is_ready(self) -> bool:
        """Return whether apps can join."""
        return self._process >= 0

    def open(self) -> int:
        """Return a new descriptor of the process that apps join."""
        return os.dup(self._process)

    @property
    def sandbox(self) -> int:
        """Return the number of the process that has the namespaces, and the virtual machine if any."""
        return self._child

    def read_reason(self) -> str:
        """Return why the virtual machine has ended, "" if it has not."""
        reasons = self._options.reasons[0]
        text = os.read(reasons, _MAX_REASON) if is_readable(reasons) else b""
        return text.decode(errors="replace").strip()

    def _read_process(self, descriptor: int) -> None:
        number = os.read(descriptor, 20)
        self._watch.remove(descriptor)
        os.close(descriptor)
        try:
            self._process = os.pidfd_open(int(number))
        except (OSError, ValueError):
            self.failure = self.read_reason() or "cannot create the namespaces of the pod"

    def end(self) -> None:
        """End the namespaces with all that is in them."""
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)
