"""Names in the content of files that lead to other files: absolute paths, libraries, and relative names."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SIZE = 128 << 20
"""Bytes of a file that are searched; larger files lead nowhere."""

_MAX_PATHS = 100_000
_MAX_NAMES = 4_000_000
"""Names of one file that are followed: more than real files have."""

_TOP = rb"(?:usr|etc|opt|var|srv|lib|lib64|bin|sbin)"
_PATH = re.compile(rb"(?<![\w./$}~*:+-])/" + _TOP + rb"(?:/[\w.+@~-]{1,255})+")
_SONAME = re.compile(rb"(?<![\w.+/-])lib[\w+-][\w.+-]{0,80}\.so(?:\.\d[\w.]{0,20})?(?![\w.])")
_NAME = re.compile(rb"[\w.+@~-]{3,255}(?:/[\w.+@~-]{1,255}){0,6}")


class NamesInFile(msgspec.Struct, frozen=True):
    """The names in a file: paths without a slash in front, and sonames; both may mean nothing."""

    paths: frozenset[str] = frozenset()
    sonames: frozenset[str] = frozenset()


def find_names(data: bytes) -> NamesInFile:
    """Return the absolute paths and the names of libraries in the content of a program, script or text."""
    paths = frozenset(match[0].decode().strip("/").rstrip(".") for match in _first(_PATH, data, _MAX_PATHS))
    is_binary = b"\0" in data[:4096]
    sonames = (match[0].decode() for match in _first(_SONAME, data, _MAX_PATHS)) if is_binary else ()
    return NamesInFile(paths, frozenset(sonames))


def find_relative_names(data: bytes) -> frozenset[bytes]:
    """Return everything in a file that can be a name relative to a directory, such as ``openssl.cnf``."""
    return frozenset(match[0] for match in _first(_NAME, data, _MAX_NAMES))


def _first(pattern: re.Pattern[bytes], data: bytes, count: int) -> Iterator[re.Match[bytes]]:
    return itertools.islice(pattern.finditer(data), count)
