"""The request of a health check by HTTP, and what its answer means."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_HEAD = 1 << 12
"""Bytes that are read of an answer; more are not needed for its first line."""


def make_request(words: Sequence[str]) -> bytes:
    """Return the request; ``words`` are the host and the port, the path and lines of the header."""
    lines = [f"GET {words[2]} HTTP/1.1", *words[3:], "Connection: close"]
    if not any(line.lower().startswith("host:") for line in words[3:]):
        lines.insert(1, f"Host: {words[0]}:{words[1]}")
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode(errors="surrogateescape")


def judge_answer(data: bytes) -> tuple[bool, str]:
    """Return whether an answer is a success, which is a status from 200 to 399, and its first line."""
    head = data.partition(b"\n")[0].decode(errors="replace").strip()
    fields = head.split()
    is_success = len(fields) > 1 and fields[0].startswith("HTTP/") and "200" <= fields[1] < "400"
    return is_success, head or "the server closed the connection"
