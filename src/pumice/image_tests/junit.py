"""The outcome of tests as JUnit XML, which CI systems read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.image_tests.outcome import Outcome

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot contain, even escaped."""


def format_junit(name: str, outcomes: Sequence[Outcome]) -> str:
    """Return the report of one suite called ``name``."""
    failed = sum(bool(outcome.failures) for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    counts = f'tests="{len(outcomes)}" failures="{failed}" errors="0" time="{seconds:.3f}"'
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<testsuites {counts}>",
        f"  <testsuite name={_attribute(name)} {counts}>",
        *(line for outcome in outcomes for line in _case(name, outcome)),
        "  </testsuite>",
        "</testsuites>",
    ]
    return "".join(f"{line}\n" for line in lines)


def _case(suite: str, outcome: Outcome) -> Iterator[str]:
    file, _, place = outcome.where.partition(":")
    location = f" file={_attribute(file)} line={_attribute(place.partition(':')[0])}" if file else ""
    names = f"name={_attribute(outcome.test)} classname={_attribute(suite)}"
    head = f'{names} time="{outcome.seconds:.3f}"{location}'
    if not outcome.failures:
        yield f"    <testcase {head}/>"
        return
    yield f"    <testcase {head}>"
    first = outcome.failures[0]
    message = f"{first.subject}: expected {first.expected}, actual {first.actual}"
    details = "\n".join(
        f"{failure.subject}\n  expected: {failure.expected}\n  actual: {failure.actual}"
        for failure in outcome.failures
    )
    yield f"      <failure message={_attribute(message[:500])}>{_text(details)}</failure>"
    for tag, text in (("system-out", outcome.stdout), ("system-err", outcome.stderr)):
        if text:
            yield f"      <{tag}>{_text(text)}</{tag}>"
    yield "    </testcase>"


def _attribute(text: str) -> str:
    return quoteattr(_FORBIDDEN.sub("\ufffd", text))


def _text(text: str) -> str:
    return escape(_FORBIDDEN.sub("\ufffd", text))
