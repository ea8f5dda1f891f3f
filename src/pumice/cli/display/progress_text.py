"""How much is done, how fast, and how long the rest takes, as short texts."""

from __future__ import annotations

from pumice.cli.display.output import format_size

_MAX_SECONDS = 100 * 3600


def format_amount(number: int | None, unit: str) -> str:
    """Return a number of units, such as ``4.2 MB`` or ``12 packages``; "" for None."""
    if number is None:
        return ""
    return format_size(number) if unit == "bytes" else f"{number} {unit}"


def format_rate(rate: float | None, unit: str) -> str:
    """Return bytes per second, such as ``4.2 MB/s``; "" for other units, or if the rate is unknown."""
    return f"{format_size(round(rate))}/s" if rate and unit == "bytes" else ""


def format_time_left(seconds: float | None) -> str:
    """Return the time that is left, such as ``12 s left`` or ``3:05 min left``; "" if it is unknown."""
    if seconds is None or seconds > _MAX_SECONDS:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s left"
    minutes = whole // 60
    return (
        f"{minutes}:{whole % 60:02} min left" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h left"
    )


def format_progress(done: int, total: int | None, unit: str, elapsed: float) -> str:
    """Return what is done of a task that has run for ``elapsed`` seconds, with its rate and time left."""
    rate = done / elapsed if done and elapsed > 0 else None
    of = f" of {format_amount(total, unit)}" if total else ""
    left = (total - done) / rate if total and rate and total > done else None
    parts = (f"{format_amount(done, unit)}{of}", format_rate(rate, unit), format_time_left(left))
    return ", ".join(part for part in parts if part)
