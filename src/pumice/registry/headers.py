"""Parses the headers of registries (RFC 9110, RFC 8288, distribution-spec 1.1).

Headers are untrusted: a malformed one is treated as missing.
"""

from __future__ import annotations

import calendar
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit, urlunsplit

import msgspec

from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - the token of RFC 9110, not a secret
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PARAMETER = re.compile(rf"\s*(?P<name>{_TOKEN})\s*=\s*(?P<value>{_TOKEN}|{_QUOTED})\s*(?:,|$)")
_SCHEME = re.compile(rf"\s*,?\s*(?P<scheme>{_TOKEN})(?=\s|,|$)\s*")
_LINK = re.compile(
    rf"\s*,?\s*<(?P<target>[^<>]*)>(?P<rest>(?:\s*;\s*{_TOKEN}\s*(?:=\s*(?:{_TOKEN}|{_QUOTED}))?)*)"
)
_RELATION = re.compile(rf";\s*rel\s*=\s*(?P<value>{_TOKEN}|{_QUOTED})", re.IGNORECASE)
_WARNING = re.compile(rf"\s*299\s+(?:{_TOKEN}|\S+)\s+(?P<text>{_QUOTED})")
_MAX_LENGTH = 16384
_MAX_WARNING = 4096
_INTEGER = re.compile(r"[0-9]{1,18}")


class Challenge(msgspec.Struct, frozen=True):
    """An authentication challenge: a lower-case scheme and its parameters."""

    scheme: str
    parameters: dict[str, str] = {}


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Return the challenges in ``WWW-Authenticate`` headers (RFC 9110, 11.6.1)."""
    return tuple(challenge for value in values for challenge in _iter_challenges(value[:_MAX_LENGTH]))


def _iter_challenges(text: str) -> Iterator[Challenge]:
    position = 0
    while position < len(text):
        start = _SCHEME.match(text, position)
        if start is None:
            return
        position = start.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(text, position):
            parameters.setdefault(parameter["name"].lower(), _unquote(parameter["value"]))
            position = parameter.end()
        yield Challenge(start["scheme"].lower(), parameters)


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def parse_next_link(values: Iterable[str], url: str) -> str:
    """Return the URL of ``Link: <…>; rel="next"`` in a response from ``url``, "" without one (RFC 8288).

    A link without ``rel`` counts as the next page, because registries have no other links. A registry
    behind a proxy may name another origin: only the path is used, so that no login is sent elsewhere.
    Raises FormatError for an unusable link, so that a truncated list never looks complete.
    """
    for value in values:
        links = list(_LINK.finditer(value[:_MAX_LENGTH]))
        if not links and value.strip():
            raise _link_error()
        for link in links:
            relation = _RELATION.search(link["rest"])
            if relation is None or "next" in _unquote(relation["value"]).lower().split():
                return _resolve_next_link(link["target"], url)
    return ""


def _resolve_next_link(link: str, url: str) -> str:
    target = resolve_url(url, link)
    if not target:
        raise _link_error()
    if origin(target) == origin(url):
        return target
    current, next_parts = urlsplit(url), urlsplit(target)
    if current.path != next_parts.path:
        raise _link_error()
    return urlunsplit((current.scheme, current.netloc, next_parts.path, next_parts.query, ""))


def _link_error() -> FormatError:
    return FormatError("the registry returned an unusable link to the next page of a list")


def resolve_url(base: str, location: str) -> str:
    """Return the absolute URL of a ``Location`` or link, "" if it is unusable."""
    if not location or len(location) > _MAX_LENGTH or not location.isascii() or not location.isprintable():
        return ""
    try:
        target = urljoin(base, location)
        parts = urlsplit(target)
        _ = parts.port  # urllib parses the port only when it is read
    except ValueError:
        return ""
    usable = parts.scheme in ("http", "https") and parts.hostname and " " not in target and not parts.username
    return target if usable else ""


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL: a login is only sent to its own origin."""
    parts = urlsplit(url)
    return (
        parts.scheme,
        (parts.hostname or "").lower(),
        parts.port or (443 if parts.scheme == "https" else 80),
    )


def parse_warnings(values: Iterable[str]) -> list[str]:
    """Return the texts of ``Warning: 299 - "…"`` headers (distribution-spec, "Warnings")."""
    matches = (match for value in values for match in [_WARNING.match(value[:_MAX_WARNING])] if match)
    return [_unquote(match["text"]) for match in matches]


def parse_retry_after(values: Iterable[str], now: float) -> float | None:
    """Return the seconds of a ``Retry-After`` header, None if there is no valid one.

    ``now`` (seconds since the epoch) is for the form with a date.
    """
    for value in values:
        text = value.strip()
        if _INTEGER.fullmatch(text):
            return float(text)
        try:
            date = calendar.timegm(time.strptime(text[:40], "%a, %d %b %Y %H:%M:%S GMT"))
        except (ValueError, OverflowError):
            continue
        return max(0.0, date - now)
    return None


def parse_upload_range(value: str) -> int | None:
    """Return the number of bytes that ``Range: 0-end`` reports as stored, None if it is malformed.

    Some registries report ``0-0`` for an empty upload, as for one of a single byte.
    """
    start, dash, end = value.strip().removeprefix("bytes=").removeprefix("bytes ").partition("-")
    if start != "0" or not dash or not _INTEGER.fullmatch(end):
        return None
    return int(end) + 1


def parse_content_range(value: str) -> tuple[int, int | None] | None:
    """Return (first byte, total size) of ``Content-Range: bytes a-b/size``, None if it is malformed."""
    match = re.fullmatch(
        r"\s*bytes\s+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)\s*", value[:100], re.IGNORECASE
    )
    if match is None or int(match[2]) < int(match[1]):
        return None
    return int(match[1]), None if match[3] == "*" else int(match[3])


def parse_number(value: str) -> int | None:
    """Return the non-negative integer in a header, None if it is malformed."""
    return int(value) if _INTEGER.fullmatch(value.strip()) else None
