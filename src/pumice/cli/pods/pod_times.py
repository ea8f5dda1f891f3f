"""Times in what is shown of pods, and in arguments."""

from __future__ import annotations

import re
import time

from pumice.errors import UsageError
from pumice.terminal import format_count

_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?")


def current_time() -> float:
    """Return the time in seconds since the epoch."""
    return time.time()


def parse_since(text: str) -> str:
    """Return a time, or how long ago it was, as a time in the form of the log; raises UsageError."""
    from pumice.runtime.pods.supervisor.pod_files import format_time

    match = _DURATION.fullmatch(text)
    if match and any(match.groups()):
        hours, minutes, seconds = (int(number or 0) for number in match.groups())
        return format_time(max(0.0, current_time() - hours * 3600 - minutes * 60 - seconds))
    try:
        return format_time(parse_time(text))
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{text[:100]!r} is not a time", hint="write 2026-01-02T03:04:05Z, or 30s, 10m or 2h"
        ) from None


def format_age(moment: str, now: float) -> str:
    """Return how long a time in RFC 3339 was before ``now``, such as ``5 minutes``."""
    seconds = max(0, int(now - parse_time(moment)))
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return format_count(seconds // length, unit)
    return format_count(seconds, "second")


def parse_time(text: str) -> float:
    """Return a time in RFC 3339 as seconds since the epoch; raises ValueError."""
    from datetime import UTC, datetime

    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
