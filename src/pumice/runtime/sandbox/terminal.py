"""The program's own terminal, and the helper that copies between it and the real one."""

from __future__ import annotations

import fcntl
import os
import select
import termios

from pumice.runtime.sandbox.descriptors import close_others, give_to_program, write_all
from pumice.runtime.sandbox.signals import TYPED_SIGNALS, signal

_KEYS = (termios.VINTR, termios.VQUIT)
"""The keys of TYPED_SIGNALS, in their order."""


def open_output_terminal(outer: int) -> tuple[int, int]:
    """Create a terminal whose output is copied to the terminal ``outer``; return its outer and inner end."""
    outer_end, inner_end = os.openpty()
    attributes = termios.tcgetattr(inner_end)
    attributes[1] &= ~termios.OPOST  # the real terminal converts line feeds
    termios.tcsetattr(inner_end, termios.TCSANOW, attributes)
    copy_size(outer, outer_end)
    return outer_end, inner_end


def open_terminal(owner: int | None, outside: int) -> tuple[int, int] | None:
    """Create a terminal like that of descriptor 0; return the program's end and the id of its helper.

    ``owner`` is the user that will own it, None for the caller. The helper sends TYPED_SIGNALS to the process
    ``outside``, unless that is 0. Returns None if there are no more terminals.
    """
    try:
        outer_end, inner_end = os.openpty()
    except OSError:
        return None
    attributes = termios.tcgetattr(0)
    termios.tcsetattr(inner_end, termios.TCSANOW, attributes)
    copy_size(0, outer_end)
    give_to_program(inner_end, owner)
    helper = os.fork()
    if helper == 0:
        close_others({0, 1, outer_end})
        try:
            _copy_between_terminals(outer_end, outside)
        except OSError:  # EIO: the program or the real terminal is gone
            pass
        try:
            termios.tcsetattr(0, termios.TCSADRAIN, attributes)
        except OSError:
            pass
        os._exit(0)
    os.close(outer_end)
    return inner_end, helper


def copy_size(terminal: int, target_terminal: int) -> None:
    """Give the terminal ``other`` the size of ``terminal``."""
    try:
        fcntl.ioctl(target_terminal, termios.TIOCSWINSZ, fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        pass


def make_controlling(terminal: int) -> None:
    """Start a session whose controlling terminal is ``terminal``."""
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def _copy_between_terminals(outer_end: int, outside: int) -> None:
    """Copy between the real terminal and the program's until one of them is closed.

    The process ``outside`` gets a signal for each key that sends one; see `supervision.wait_and_forward`.
    """
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.signal(signal.SIGWINCH, lambda *_: copy_size(0, outer_end))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGWINCH})
    _make_raw(0)
    os.set_blocking(outer_end, False)
    input_data = b""
    while True:
        readable, writable, _ = select.select(
            [outer_end] if input_data else [0, outer_end], [outer_end] if input_data else [], []
        )
        try:
            if writable:
                input_data = input_data[os.write(outer_end, input_data) :]
            if outer_end in readable:
                write_all(1, os.read(outer_end, 1 << 16))
            if 0 in readable:
                input_data = os.read(0, 1 << 12)
                if not input_data:
                    return
                report_typed_signals(input_data, outer_end, outside)
        except BlockingIOError:
            pass


def _make_raw(terminal: int) -> None:
    """Switch off the handling of lines and control keys, as cfmakeraw(3): the program's terminal does it."""
    attributes = termios.tcgetattr(terminal)
    attributes[:4] = [0, 0, termios.CS8 | termios.CREAD, 0]
    attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 1, 0
    termios.tcsetattr(terminal, termios.TCSADRAIN, attributes)


def report_typed_signals(input_data: bytes, outer_end: int, outside: int) -> None:
    """Send ``outside`` a signal for each key in ``input_data`` that means one on this terminal."""
    attributes = termios.tcgetattr(outer_end)
    for signal_number, key in zip(TYPED_SIGNALS, _KEYS, strict=True):
        if outside and attributes[3] & termios.ISIG and attributes[6][key] in input_data:
            os.kill(outside, signal_number)
