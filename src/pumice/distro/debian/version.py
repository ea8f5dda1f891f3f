"""Debian's order of versions (deb-version(7), "Sorting algorithm").

A version becomes one string whose ordinary order is Debian's, so that a key is made once and
compared at the speed of ``memcmp``. Non-digits are replaced by characters that sort as the manual
demands (``~`` before the end of a part, the end before letters, letters before all else); a number
is written as the count of its digits and then the digits, so its size never matters.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pumice.errors import FormatError

_BEFORE_END, _END = "\x01", "\x02"
_OTHERS = 0x100
_RUNS = re.compile("([^0-9]*)([0-9]*)")
_VALID = re.compile(r"(?:([0-9]{1,10}):)?([0-9][A-Za-z0-9.+~:-]*)", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9.+~]+", re.ASCII)
_MAX_EPOCH = 2**31 - 1
_MAX_LENGTH = 4096


class _Ranks(dict[int, str]):
    """What stands for a character in a key, made as characters are met."""

    def __missing__(self, code: int) -> str:
        letter = 65 <= code <= 90 or 97 <= code <= 122
        rank = chr(code) if letter or 48 <= code <= 57 else chr((code + _OTHERS) % 0x110000)
        self[code] = rank
        return rank


_RANKS = _Ranks({ord("~"): _BEFORE_END})


@lru_cache(maxsize=1 << 17)
def key(version: str) -> str:
    """Return the sort key of ``version``: of two versions the newer has the greater key.

    Defined for any text, because an index may hold what `check` refuses; versions that Debian calls
    equal (``1.0`` and ``0:1.00-0``) have equal keys.
    """
    epoch, colon, rest = version.partition(":")
    if not colon or not (epoch.isascii() and epoch.isdigit()):
        epoch, rest = "", version
    upstream, hyphen, revision = rest.rpartition("-")
    if not hyphen:
        upstream, revision = rest, ""
    return _number(epoch) + _part(upstream) + _part(revision)


def compare(a: str, b: str) -> int:
    """Return -1, 0 or 1 as ``a`` is older than, equal to or newer than ``b``."""
    if a == b:
        return 0
    key_a, key_b = key(a), key(b)
    return (key_a > key_b) - (key_a < key_b)


def check(version: str) -> str:
    """Return ``version`` if it is one by deb-version(7); raises FormatError otherwise."""
    found = _VALID.fullmatch(version) if len(version) <= _MAX_LENGTH else None
    if not found or int(found[1] or 0) > _MAX_EPOCH:
        raise _refusal(version)
    upstream, hyphen, revision = found[2].rpartition("-")
    if hyphen and not (upstream and _REVISION.fullmatch(revision)):
        raise _refusal(version)
    if not found[1] and ":" in found[2]:
        raise _refusal(version)
    return version


def _refusal(version: str) -> FormatError:
    return FormatError(
        f"{version[:100]!r} is not a Debian version",
        hint="expected [EPOCH:]UPSTREAM[-REVISION], the upstream version starting with a digit",
    )


def _part(text: str) -> str:
    runs = _RUNS.findall(text)
    if len(runs) > 1:
        runs.pop()  # the empty match at the end; the first one stays, for "" equals "0"
    return "".join([word.translate(_RANKS) + _END + _number(digits) for word, digits in runs]) + _END


def _number(digits: str) -> str:
    significant = digits.lstrip("0")
    return chr(min(len(significant), 0xD7FF)) + significant
