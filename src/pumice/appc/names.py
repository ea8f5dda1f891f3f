"""Identifiers, names and other single values of the App Container specification ("AC Name Type" and others).

Every function takes the place of a value in its document for messages, and returns the value.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pumice.errors import FormatError

if TYPE_CHECKING:
    from pumice.appc.findings import Findings

VERSION = "0.8.11"
"""The version of the specification."""
IMAGE_KIND = "ImageManifest"
POD_KIND = "PodManifest"
IMAGE_ID_PREFIX = "sha512-"

_MAX_NAME = 1024
# The specification's grammar allows one separator at a time, but its own example has "/~".
_IDENTIFIER = re.compile(r"[a-z0-9]+(?:(?:/~|[-._~/])[a-z0-9]+)*")
_LOOSE_IDENTIFIER = re.compile(r"[a-z0-9](?:[-._~/a-z0-9]*[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LOOSE_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_IMAGE_ID = re.compile(r"sha512-[0-9a-f]{128}")
_SHORT_IMAGE_ID = re.compile(r"sha512-[0-9a-f]{2,128}")
_VERSION = re.compile(
    r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z_0-9.-]*")
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_HEX = frozenset("0123456789abcdefABCDEF")


def check_identifier(text: str, where: str, findings: Findings) -> str:
    """Return an AC Identifier, such as the name of an image or a label; raises FormatError."""
    if is_identifier(text):
        return text
    parts = text.split("/")
    if len(text) > _MAX_NAME or not _LOOSE_IDENTIFIER.fullmatch(text) or "." in parts or ".." in parts:
        hint = "use lower-case letters and digits, joined by one of - . _ ~ and /"
        raise FormatError(f"{text[:100]!r} is not an AC identifier", where=where, hint=hint)
    _warn_of_separators(text, where, findings)
    return text


def is_identifier(text: str) -> bool:
    """Return whether a text is an AC Identifier in every reading of the specification."""
    return len(text) <= _MAX_NAME and _IDENTIFIER.fullmatch(text) is not None


def check_name(text: str, where: str, findings: Findings) -> str:
    """Return an AC Name, such as the name of a volume, a port or an app; raises FormatError."""
    if _NAME.fullmatch(text) and len(text) <= _MAX_NAME:
        return text
    if len(text) > _MAX_NAME or not _LOOSE_NAME.fullmatch(text):
        hint = "use lower-case letters and digits, joined by one -"
        raise FormatError(f"{text[:100]!r} is not an AC name", where=where, hint=hint)
    _warn_of_separators(text, where, findings)
    return text


def _warn_of_separators(text: str, where: str, findings: Findings) -> None:
    findings.warn(where, f"{text[:100]!r} has several separators in a row")


def make_name(text: str) -> str:
    """Return the AC Name closest to ``text``; raises FormatError if nothing is left of it."""
    name = "-".join(part for part in re.split(r"[^a-z0-9]+", text.lower()) if part)
    if not name:
        raise FormatError(f"no AC name can be made from {text[:100]!r}")
    return name[:_MAX_NAME].rstrip("-")


def check_image_id(text: str, where: str) -> str:
    """Return an image ID, ``sha512-`` and 128 hexadecimal digits; raises FormatError."""
    if not _IMAGE_ID.fullmatch(text):
        raise FormatError(
            f"{text[:160]!r} is not an image ID",
            where=where,
            hint="expected sha512- and 128 lower-case hex digits",
        )
    return text


def is_image_id(text: str, *, abbreviated: bool = False) -> bool:
    """Return whether a text is an image ID; ``abbreviated`` allows at least two digits."""
    return (_SHORT_IMAGE_ID if abbreviated else _IMAGE_ID).fullmatch(text) is not None


def check_uuid(text: str, where: str) -> str:
    """Return the canonical form of a UUID, 32 hex digits with or without dashes; raises FormatError."""
    digits = text.replace("-", "")
    if len(digits) != 32 or not _HEX.issuperset(digits):
        raise FormatError(f"{text[:60]!r} is not a UUID", where=where)
    digits = digits.lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def check_version(text: str, where: str) -> str:
    """Return a version of the specification; raises FormatError for a malformed or newer major version."""
    match = _VERSION.fullmatch(text)
    if match is None or text == "0.0.0":
        raise FormatError(f"{text[:60]!r} is not a version of the specification", where=where)
    if int(match[1]) > 0:
        raise FormatError(f"version {text[:60]} of the specification is not supported", where=where)
    return text


def check_variable(text: str, where: str) -> str:
    """Return the name of an environment variable; raises FormatError."""
    if not _VARIABLE.fullmatch(text):
        raise FormatError(f"{text[:100]!r} is not the name of an environment variable", where=where)
    return text


def check_absolute_path(text: str, where: str) -> str:
    """Return an absolute path; raises FormatError for any other, for ``..`` and for NUL."""
    if not text.startswith("/"):
        raise FormatError(f"the path {text[:100]!r} is not absolute", where=where)
    if ".." in text.split("/") or "\0" in text or len(text) > 4096:
        raise FormatError(f"the path {text[:100]!r} is not valid", where=where)
    return text


def check_date(text: str, where: str) -> str:
    """Return a time in the format of RFC 3339; raises FormatError."""
    error = FormatError(f"{text[:60]!r} is not a time in the format of RFC 3339", where=where)
    if not _DATE.fullmatch(text):
        raise error
    try:
        datetime.fromisoformat(text[:19] + text[19:].lstrip(".0123456789").replace("Z", "+00:00"))
    except ValueError:
        raise error from None
    return text


def check_web_address(text: str, where: str) -> str:
    """Return a URL with http or https; raises FormatError."""
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FormatError(f"{text[:100]!r} is not a URL with http or https", where=where)
    return text
