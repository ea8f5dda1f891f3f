"""Signals that end a command while it prepares a pod."""

from __future__ import annotations

import signal
import sys


def exit_on_signals() -> None:
    """Turn SIGTERM and SIGHUP into SystemExit, so that a partly unpacked tree is removed."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # else the caller ignores it, as nohup does
            signal.signal(number, lambda number, _: sys.exit(128 + number))
