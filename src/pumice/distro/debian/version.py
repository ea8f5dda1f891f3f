"""Debian's order of versions (deb-version(7), "Sorting algorithm").

A version is converted to a string whose ordinary order is Debian's, so that a key is computed once
and compared at the speed of ``memcmp``. Non-digits are replaced by characters in the specified order:
``~`` before the end of a part, the end before letters, letters before other characters. A number is
the count of its digits followed by the digits, so that numbers of any length compare correctly.
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


class _CharacterRanks(dict[int, str]):
    """The replacement of each character in a key, computed on first use."""

    def __missing__(self, code: int) -> str:
        letter = 65 <= code <= 90 or 97 <= code <= 122
        rank = chr(code) if letter or 48 <= code <= 57 else chr((code + _OTHERS) % 0x110000)
        self[code] = rank
        return rank


_RANKS = _CharacterRanks({ord("~"): _BEFORE_END})


_REALLY = re.compile(r".*\+really")
_PACKAGING_SUFFIX = re.compile(r"[.+~](?:dfsg|ds|repack|deb[0-9]+u|bpo[0-9]|b[0-9]+$).*")


def upstream_version(version: str) -> str:
    """Return the version of the program in a package: ``15.14`` for ``15.14-0+deb12u1``.

    It has no epoch, no Debian revision, and nothing from ``+dfsg``, ``+ds``, ``+repack``, ``+deb12u1``,
    ``~bpo12`` or ``+b1`` on (with ``.``, ``+`` or ``~``). Of ``2.0+really1.9`` it is what follows.
    """
    upstream = version.partition(":")[2] or version
    upstream = upstream.rpartition("-")[0] or upstream
    return _PACKAGING_SUFFIX.sub("", _REALLY.sub("", upstream))


@lru_cache(maxsize=1 << 17)
def sort_key(version: str) -> str:
    """Return the sort key of ``version``: the newer of two versions has the greater key.

    Defined for any text, because an index may contain what `check_version` rejects. Versions that
    Debian considers equal (``1.0`` and ``0:1.00-0``) have equal keys.
    """
    epoch, colon, remainder = version.partition(":")
    if not colon or not (epoch.isascii() and epoch.isdigit()):
        epoch, remainder = "", version
    upstream, hyphen, revision = remainder.rpartition("-")
    if not hyphen:
        upstream, revision = remainder, ""
    return _encode_number(epoch) + _encode_part(upstream) + _encode_part(revision)


def compare_versions(version: str, other_version: str) -> int:
    """Return -1 if ``a`` is older than ``b``, 0 if they are equal, 1 if ``a`` is newer."""
    if version == other_version:
        return 0
    key, other_key = sort_key(version), sort_key(other_version)
    return (key > other_key) - (key < other_key)


def check_version(version: str) -> str:
    """Return ``version`` if it is valid (deb-version(7)); raises FormatError otherwise."""
    match = _VALID.fullmatch(version) if len(version) <= _MAX_LENGTH else None
    if not match or int(match[1] or 0) > _MAX_EPOCH:
        raise _make_version_error(version)
    upstream, hyphen, revision = match[2].rpartition("-")
    if hyphen and not (upstream and _REVISION.fullmatch(revision)):
        raise _make_version_error(version)
    if not match[1] and ":" in match[2]:
        raise _make_version_error(version)
    return version


def _make_version_error(version: str) -> FormatError:
    return FormatError(
        f"{version[:100]!r} is not a Debian version",
        hint="expected [EPOCH:]UPSTREAM[-REVISION], where UPSTREAM starts with a digit",
    )


def _encode_part(text: str) -> str:
    runs = _RUNS.findall(text)
    if len(runs) > 1:
        runs.pop()  # the empty match at the end; the first one stays, because "" equals "0"
    return (
        "".join([text_run.translate(_RANKS) + _END + _encode_number(digits) for text_run, digits in runs])
        + _END
    )


def _encode_number(digits: str) -> str:
    significant = digits.lstrip("0")
    return chr(min(len(significant), 0xD7FF)) + significant
