"""Durations as docker, podman and compose files write them."""

from __future__ import annotations

import re

_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9})ms)?")
_NANOSECONDS = 1_000_000_000


def parse_duration(text: str) -> int:
    """Return a duration such as ``1m30s`` in nanoseconds; raises ValueError."""
    match = _DURATION.fullmatch(text)
    if not match or not any(match.groups()):
        raise ValueError(f"{text[:40]!r} is not a duration such as 1m30s")
    hours, minutes, seconds, milliseconds = (float(number or 0) for number in match.groups())
    return int((hours * 3600 + minutes * 60 + seconds + milliseconds / 1000) * _NANOSECONDS)
