"""The standard input of a program in the background: a pipe, or a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import termios

from pumice.runtime.sandbox import terminal
from pumice.runtime.sandbox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.runtime.pods.supervisor.watch import Watch

_MAX_PENDING = 1 << 16
_WINSIZE_BYTES = 8


class ProgramInput:
    """The end of a pipe or of a terminal that is written to, and what does not fit yet.

    A terminal that is not ``is_open`` has a size, but nobody can write to it. With ``signals_keys``, the
    process ``sandbox`` learns of signals that are typed, see `supervision.wait_and_forward`; with
    ``signals_size``, of a new size, because an engine copies that to its own terminal.
    """

    def __init__(
        self,
        descriptor: int,
        watch: Watch,
        sandbox: int,
        *,
        is_terminal: bool,
        is_open: bool,
        signals_keys: bool,
        signals_size: bool,
    ) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._watch = watch
        self._sandbox = sandbox
        self._is_terminal = is_terminal
        self._signals_keys, self._signals_size = signals_keys, signals_size
        self._pending = b""
        self._is_ending = not is_open
        self.on_drain: Callable[[], None] = lambda: None

    @property
    def is_congested(self) -> bool:
        """Return whether the program has to read before there is more."""
        return len(self._pending) > _MAX_PENDING

    def write(self, data: bytes) -> None:
        """Write input, now or when the program reads."""
        if self._descriptor < 0 or self._is_ending:
            return
        if self._signals_keys:
            terminal.report_typed_signals(data, self._descriptor, self._sandbox)
        was_empty = not self._pending
        self._pending += data
        if was_empty and not self._flush():
            self._watch.add_writer(self._descriptor, self._continue)

    def end(self) -> None:
        """Close the pipe after what was written; a terminal has no end."""
        if self._is_terminal or self._descriptor < 0:
            return
        self._is_ending = True
        if not self._pending:
            self.close()

    def resize(self, size: bytes) -> None:
        """Change the size of the terminal to a ``struct winsize``."""
        if self._is_terminal and len(size) == _WINSIZE_BYTES and self._descriptor >= 0:
            fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, size)
            if self._signals_size:
                os.kill(self._sandbox, signal.SIGWINCH)

    def close(self) -> None:
        """Close it; what is pending is lost."""
        if self._descriptor >= 0:
            if self._pending:
                self._watch.remove(self._descriptor)
            os.close(self._descriptor)
            self._descriptor, self._pending = -1, b""

    def _continue(self, _: int) -> None:
        was_congested = self.is_congested
        if self._flush() and self._descriptor >= 0:
            self._watch.remove(self._descriptor)
            if self._is_ending:
                self.close()
        if was_congested and not self.is_congested:
            self.on_drain()

    def _flush(self) -> bool:
        """Write what the program takes now; return whether that is all."""
        try:
            while self._pending:
                self._pending = self._pending[os.write(self._descriptor, self._pending) :]
        except BlockingIOError:
            return False
        except OSError:  # the program has closed its input
            self._pending = b""
        return True
