"""The signals that the sandbox forwards, and the functions of the signal module without its enums.

The enums take longer to import than all of the sandbox; ``_signal`` is the part of the module in C.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

__all__ = ("FORWARDED_SIGNALS", "TYPED_SIGNALS", "block_signals", "release_signals", "signal")

FORWARDED_SIGNALS = frozenset(
    getattr(signal, f"SIG{name}") for name in ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH", "ALRM")
)
TYPED_SIGNALS = {signal.SIGRTMIN: signal.SIGINT, signal.SIGRTMIN + 1: signal.SIGQUIT}
"""What the helper of the program's terminal sends when the key of a signal was typed, and that signal."""


def block_signals() -> None:
    """Block the signals that `supervision.wait_and_forward` waits for, in this process and its children."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED_SIGNALS | {signal.SIGCHLD, *TYPED_SIGNALS})


def release_signals() -> None:
    """Restore default signal handling; signals that the caller ignores stay ignored, as with nohup."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    for number in signal.sigpending() & FORWARDED_SIGNALS - {signal.SIGWINCH}:
        if signal.getsignal(number) == signal.SIG_DFL:  # the kernel would drop it for process 1
            os._exit(128 + number)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
