"""How a sandbox that has a network namespace of its own waits until somebody has connected it."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, NoReturn

from pumice.errors import PumiceError, SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable

    Connect = Callable[[int], None]
    """Connects the network namespace of a process; raises PumiceError."""


class Handshake:
    """The conversation with one sandbox. `close` it when the sandbox runs, or was not started."""

    def __init__(self) -> None:
        self._channel, sandbox_channel = socket.socketpair()
        self.network_fd = sandbox_channel.detach()
        """The socket for the sandbox, which the process that starts it closes."""

    def serve(self, connect: Connect) -> None:
        """Wait until the sandbox has its network namespace, connect that, and let the program start.

        Raises what ``connect`` raises, and SandboxError if the sandbox ends before that.
        """
        with self._channel as channel, channel.makefile("rb") as file:
            line = file.readline(20)
            if not line:
                raise SandboxError("the sandbox ended before its network was set up")
            connect(int(line))
            channel.sendall(b"g")

    def serve_in_background(self, reasons: int, connect: Connect, close: Callable[[], object]) -> None:
        """Let another process do what `serve` does, and write the reason of a failure to ``reasons``.

        That process calls ``close`` at its end.
        """
        child = os.fork()
        if child == 0:
            if os.fork() == 0:
                self._serve_and_exit(reasons, connect, close)
            os._exit(0)
        os.waitpid(child, 0)
        self._channel.close()  # so that the sandbox ends if that process does

    def _serve_and_exit(self, reasons: int, connect: Connect, close: Callable[[], object]) -> NoReturn:
        try:
            os.close(self.network_fd)
            self.serve(connect)
        except PumiceError as error:
            hint = f"\n  hint: {error.hint}" if error.hint else ""
            os.write(reasons, f"{error.message}{hint}\n".encode(errors="replace"))
        except Exception as error:  # noqa: BLE001 - nobody else could report it
            os.write(reasons, f"cannot set up the network: {error!r}\n".encode(errors="replace"))
        finally:
            try:
                close()
            finally:
                os._exit(0)

    def close(self) -> None:
        """Close the channel of this process."""
        self._channel.close()
