"""What the host and a virtual machine say to each other about one program: a session, see ADR 31.

A frame is a kind, the size of its content, and a number; all are little-endian. No frame is larger than
MAX_FRAME, in either direction. Through a socket of the host, one message is one frame.
"""

from __future__ import annotations

import struct

HEADER = struct.Struct("<IIQ")
MAX_CONTENT = 1 << 14
MAX_FRAME = HEADER.size + MAX_CONTENT
WINDOW = 1 << 14
"""Bytes of input that the host sends before the program has taken them, so that no other frame waits."""
SOCKET = "machine"
"""The socket in the directory of a pod through which programs are run in its machine."""
SOCKET_OF_POD = f"../../{SOCKET}"
"""The same for an app, in whose directory this path leads to it."""

RESET = ord("N")  # forget the content that was sent
CONTENT = ord("C")  # a part of the program that enters the container and executes the program of the image
START, START_TERMINAL = ord("P"), ord("T")  # run it in the app of this number, the latter in a terminal
INPUT, END_OF_INPUT = ord("I"), ord("Z")  # standard input; its end hangs up a terminal
SIGNAL = ord("K")  # send the program a signal
SIZE = ord("W")  # the number is a struct winsize
QUERY = ord("Q")  # answer with a STATE

STARTED = ord("R")  # the program was executed
OUTPUT, ERROR = ord("O"), ord("E")  # standard output and error
ACCEPTED = ord("A")  # the program has taken so many bytes of input
ENDED = ord("S")  # the session is over: the status of the program (wait(2)), after all its output
NOT_EXECUTED, FAILED = ord("X"), ord("F")  # two numbers: a system call and its negative error
STATE = ord("Y")  # the struct termios of the terminal, zeros without one, and /proc/PID/status
BUSY = ord("B")  # from the host itself: there is no free session

FROM_GUEST = frozenset((STARTED, OUTPUT, ERROR, ACCEPTED, ENDED, NOT_EXECUTED, FAILED, STATE))
TERMINAL_BYTES = 40
"""The size of the struct termios in a STATE, with padding."""


def make_frame(kind: int, content: bytes = b"", number: int = 0) -> bytes:
    """Return a frame."""
    return HEADER.pack(kind, len(content), number) + content


def split_frame(frame: bytes) -> tuple[int, int, bytes]:
    """Return the kind, the number and the content of a whole frame; raises ValueError for any other."""
    if not HEADER.size <= len(frame) <= MAX_FRAME:
        raise ValueError("not a frame")
    kind, size, number = HEADER.unpack_from(frame)
    if size != len(frame) - HEADER.size:
        raise ValueError("not one frame")
    return kind, number, frame[HEADER.size :]


def find_end(data: bytes | bytearray) -> int:
    """Return the size of the first frame in data of a machine, 0 if it is incomplete; raises ValueError."""
    if len(data) < HEADER.size:
        return 0
    kind, size, _ = HEADER.unpack_from(data)
    if kind not in FROM_GUEST or size > MAX_CONTENT:
        raise ValueError("not a frame")
    end = HEADER.size + size
    return end if len(data) >= end else 0
