"""What a supervisor and ``pumice attach`` say to each other: one message of a socket is one frame.

The first byte of a frame is its kind, and the rest is its content. An end that closes before it has read all
makes the kernel report a reset to the other end once, before what was sent to it, so a reset is not an end.
"""

from __future__ import annotations

SOCKET = "attach"
"""The socket in the directory of an app."""
STDOUT, STDERR, EXIT = b"o", b"e", b"x"
"""What the supervisor sends: output, and at the end the exit code as a decimal number."""
STDIN, END_OF_STDIN, SIZE = b"i", b"c", b"w"
"""What a client sends: input, its end, and the ``struct winsize`` of its terminal."""
MAX_CONTENT = 1 << 15
MAX_FRAME = MAX_CONTENT + 1
OUTPUT_KINDS = {"stdout": STDOUT, "stderr": STDERR}
