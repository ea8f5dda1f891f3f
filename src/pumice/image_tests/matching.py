"""Compares texts with the rules of a test."""

from __future__ import annotations

import re
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pumice.image_tests.outcome import Failure, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.recipe.image_tests import OutputRule

_PATTERN_SECONDS = 5.0


class _TooSlowError(Exception):
    """A regular expression took too long."""


def check_text(subject: str, text: str, rule: OutputRule | None) -> Iterator[Failure]:
    """Yield what does not agree with ``rule``."""
    for expected in _unmet_expectations(text, rule) if rule else ():
        yield Failure(subject=subject, expected=expected, actual=shorten(text))


def _unmet_expectations(text: str, rule: OutputRule) -> Iterator[str]:
    if rule.equals is not None and text != rule.equals:
        yield f"equals {rule.equals!r}"
    yield from (f"contains {part!r}" for part in rule.contains if part not in text)
    yield from (f"does not contain {part!r}" for part in rule.not_contains if part in text)
    flags = re.MULTILINE if rule.multiline else 0
    for patterns, verb in ((rule.matches, "matches"), (rule.not_matches, "does not match")):
        for pattern in patterns:
            has_match = _search(pattern, text, flags)
            if has_match is None:
                yield f"can be searched for {pattern!r} in {_PATTERN_SECONDS:.0f} seconds"
            elif has_match != (verb == "matches"):
                yield f"{verb} {pattern!r}"


def matches_whole(pattern: str, text: str) -> bool:
    """Return whether a regular expression matches a whole text."""
    try:
        with _time_limit():
            return re.fullmatch(pattern, text) is not None
    except _TooSlowError:
        return False


def _search(pattern: str, text: str, flags: int) -> bool | None:
    """Return whether a pattern matches somewhere, None if that takes too long: the image chose the text."""
    try:
        with _time_limit():
            return re.search(pattern, text, flags) is not None
    except _TooSlowError:
        return None


@contextmanager
def _time_limit() -> Iterator[None]:
    """Raise _TooSlowError if the body takes too long. Only the main thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise _TooSlowError

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, _PATTERN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
