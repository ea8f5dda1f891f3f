"""``Release`` files, which an archive signs (Debian repository format; apt-secure(8)).

The signature is verified before a file is read. Its lists of hashes are searched on demand.
"""

from __future__ import annotations

import calendar
import re
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError
from pumice.formats import deb822

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_RELEASE = 32 << 20
"""Maximum size in bytes; Debian's have 0.15 million, Ubuntu's 0.3 million."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = re.compile(
    r"(?:[A-Za-z]{3}, )? ?(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d{1,2}):(\d{2}):(\d{2}) (UTC|GMT|Z|[+-]0000)"
)
_HASHES = {"sha256": 64, "sha512": 128}


class FileHash(msgspec.Struct, frozen=True):
    """The size of a file in bytes, and its SHA-256 or SHA-512 (or both) in hexadecimal."""

    size: int
    sha256: str = ""
    sha512: str = ""


class Release(msgspec.Struct, frozen=True):
    """One Release file. Times are in seconds since the epoch, 0 if missing."""

    origin: str = ""
    label: str = ""
    suite: str = ""
    codename: str = ""
    version: str = ""
    date: int = 0
    valid_until: int = 0
    by_hash: bool = False
    not_automatic: bool = False
    automatic_upgrades: bool = False
    architectures: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    separate_all: bool = False
    """Packages for all architectures are in a separate index (``binary-all``)."""
    lists: dict[str, str] = {}
    """The unparsed hash lists by algorithm; see `find_file`."""

    def find_file(self, path: str) -> FileHash | None:
        """Return the size and hashes of the file at ``path`` in the suite, None if not listed.

        Raises FormatError if the lists are malformed or contradict each other.
        """
        hashes: dict[str, str] = {}
        sizes: set[int] = set()
        for algorithm, text in self.lists.items():
            for hash_digits, size in _find_entries(text, path):
                if (
                    len(hash_digits) != _HASHES[algorithm]
                    or hashes.setdefault(algorithm, hash_digits) != hash_digits
                ):
                    raise FormatError(f"the Release file has a malformed or ambiguous {algorithm} for {path}")
                sizes.add(size)
        if len(sizes) > 1:
            raise FormatError(f"the Release file has two sizes for {path}")
        return FileHash(sizes.pop(), hashes.get("sha256", ""), hashes.get("sha512", "")) if sizes else None


def read_release(data: bytes, *, where: str | None = None) -> Release:
    """Return the Release file in ``data``; raises FormatError if it is malformed or has no usable hashes."""
    if len(data) > MAX_RELEASE:
        raise FormatError("the Release file is larger than 32 MiB", where=where)
    fields = deb822.lowercase_names(deb822.read_paragraph(data, where=where))
    lists = {name: fields[name] + "\n" for name in _HASHES if name in fields}
    if not lists:
        raise FormatError("the Release file lists no SHA-256 or SHA-512 digests", where=where)
    architectures = tuple(fields.get("architectures", "").split())
    return Release(
        origin=fields.get("origin", ""),
        label=fields.get("label", ""),
        suite=fields.get("suite", ""),
        codename=fields.get("codename", ""),
        version=fields.get("version", ""),
        date=parse_date(fields["date"], where=where) if "date" in fields else 0,
        valid_until=parse_date(fields["valid-until"], where=where) if "valid-until" in fields else 0,
        by_hash=fields.get("acquire-by-hash", "").lower() == "yes",
        not_automatic=fields.get("notautomatic", "").lower() == "yes",
        automatic_upgrades=fields.get("butautomaticupgrades", "").lower() == "yes",
        architectures=architectures,
        components=tuple(fields.get("components", "").split()),
        separate_all="all" in architectures
        and "Packages" not in fields.get("no-support-for-architecture-all", "").split(),
        lists=lists,
    )


def parse_date(text: str, *, where: str | None = None) -> int:
    """Return a date such as "Sat, 11 Jul 2026 10:16:37 UTC" in seconds since the epoch.

    The names of months are English regardless of the locale. Raises FormatError.
    """
    match = _DATE.fullmatch(text.strip())
    if match is None or match[2] not in _MONTHS:
        raise FormatError(f"{text[:100]!r} is not a date in UTC", where=where)
    day, year, hour, minute, second = (int(match[group]) for group in (1, 3, 4, 5, 6))
    month = _MONTHS.index(match[2]) + 1
    if not (1 <= day <= 31 and 1970 <= year <= 9999 and hour < 24 and minute < 60 and second <= 60):
        raise FormatError(f"{text[:100]!r} is not a valid date", where=where)
    return calendar.timegm((year, month, day, hour, minute, second))


def _find_entries(text: str, path: str) -> Iterator[tuple[str, int]]:
    """Yield the hash and size of each line for ``path``, without parsing the other lines."""
    line_end = f" {path}\n"
    start = text.find(line_end)
    while start >= 0:
        line = text[text.rfind("\n", 0, start) + 1 : start].split()
        if len(line) == 2:
            digits, size = line
            if not (size.isascii() and size.isdigit() and len(size) <= 15 and _is_hex(digits)):
                raise FormatError(f"the Release file has a malformed line for {path}")
            yield digits, int(size)
        start = text.find(line_end, start + 1)


def _is_hex(digits: str) -> bool:
    return not digits.strip("0123456789abcdef")
