"""``/etc/ld.so.cache`` as glibc's ldconfig writes it (glibc 2.33 and later, ``elf/cache.c``).

It has a header, 24 bytes for each library in descending order of its name, a string table in which
strings share suffixes, and an extension with the name of the program that wrote it.
"""

from __future__ import annotations

import struct
from functools import cmp_to_key
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("<20sIIB3xI12x")
_ENTRY = struct.Struct("<iIIIQ")
_EXTENSION_MAGIC = 0xEAA42174
_LITTLE_ENDIAN = 2
_TAG_GENERATOR = 0
_MAX = 64 << 20

_LIBC6 = 0x0003

FLAGS: dict[str, dict[tuple[int, int], int]] = {
    "amd64": {(62, 64): 0x0300 | _LIBC6, (3, 32): _LIBC6, (62, 32): 0x0800 | _LIBC6},
    "arm64": {(183, 64): 0x0A00 | _LIBC6, (40, 32): 0x0900 | _LIBC6},
    "armel": {(40, 32): 0x0B00 | _LIBC6},
    "armhf": {(40, 32): 0x0900 | _LIBC6},
    "i386": {(3, 32): _LIBC6, (62, 64): 0x0300 | _LIBC6},
    "loong64": {(258, 64): 0x1200 | _LIBC6},
    "ppc64el": {(21, 64): 0x0500 | _LIBC6},
    "riscv64": {(243, 64): 0x1000 | _LIBC6},
}
"""The flags that ldconfig writes for an object of ``(e_machine, bits)``, by Debian architecture.

Objects of other machines are not in the cache of an architecture. Only little-endian architectures are
supported.
"""


class Library(msgspec.Struct, frozen=True):
    """One entry of the cache: the soname, the path of the file, and its flags."""

    name: str
    path: str
    flags: int


def encode_cache(libraries: Iterable[Library], generator: str) -> bytes:
    """Return the cache file; ``libraries`` that compare equal keep their order.

    ``generator`` is the name of the program: ``ldconfig (...) stable release version 2.36``.
    """
    entries = sorted(libraries, key=_descending)
    strings, offsets = _build_string_table(
        {text for library in entries for text in (library.name, library.path)}
    )
    start = _HEADER.size + _ENTRY.size * len(entries)
    extension = -(-(start + len(strings)) // 4) * 4
    rows = [
        _ENTRY.pack(library.flags, start + offsets[library.name], start + offsets[library.path], 0, 0)
        for library in entries
    ]
    header = _HEADER.pack(_MAGIC, len(entries), len(strings), _LITTLE_ENDIAN, extension)
    body = header + b"".join(rows) + strings
    text = generator.encode()
    section = struct.pack("<IIIIII", _EXTENSION_MAGIC, 1, _TAG_GENERATOR, 0, extension + 24, len(text))
    return body.ljust(extension, b"\0") + section + text


def read_cache(data: bytes) -> tuple[tuple[Library, ...], str]:
    """Return the libraries of a cache file in order, and its generator (empty if it has none).

    Raises FormatError if ldconfig of glibc 2.33 or later cannot have written it.
    """
    if len(data) > _MAX or data[: len(_MAGIC)] != _MAGIC or len(data) < _HEADER.size:
        raise FormatError("the file is not a loader cache of glibc")
    _, count, _, _, extension = _HEADER.unpack_from(data)
    if _HEADER.size + count * _ENTRY.size > len(data):
        raise FormatError("the loader cache is truncated")
    rows = _ENTRY.iter_unpack(data[_HEADER.size : _HEADER.size + count * _ENTRY.size])
    libraries = tuple(
        Library(_read_string(data, name), _read_string(data, path), flags) for flags, name, path, _, _ in rows
    )
    return libraries, _read_generator(data, extension)


def compare_names(name: str, other_name: str) -> int:
    """Return a negative, zero or positive number as the loader orders two library names.

    Runs of digits are compared as numbers and sort after other bytes (``_dl_cache_libcmp``).
    """
    name_bytes, other_bytes = name.encode(), other_name.encode()
    position = other_position = 0
    while position < len(name_bytes):
        if _is_digit(name_bytes, position):
            if not _is_digit(other_bytes, other_position):
                return 1
            position, value = _read_number(name_bytes, position)
            other_position, other_value = _read_number(other_bytes, other_position)
            if value != other_value:
                return value - other_value
        elif _is_digit(other_bytes, other_position):
            return -1
        elif other_position >= len(other_bytes) or name_bytes[position] != other_bytes[other_position]:
            # glibc compares signed chars, so bytes above 127 sort first
            return _signed_byte(name_bytes, position) - _signed_byte(other_bytes, other_position)
        else:
            position, other_position = position + 1, other_position + 1
    return -_signed_byte(other_bytes, other_position)


def _is_digit(text: bytes, index: int) -> bool:
    return index < len(text) and 0x30 <= text[index] <= 0x39


def _read_number(text: bytes, start: int) -> tuple[int, int]:
    end = start
    while _is_digit(text, end):
        end += 1
    return end, int(text[start:end][-4000:])


def _signed_byte(text: bytes, index: int) -> int:
    if index >= len(text):
        return 0
    return text[index] - 256 if text[index] > 127 else text[index]


def _compare_libraries(library: Library, other_library: Library) -> int:
    return compare_names(other_library.name, library.name) or other_library.flags - library.flags


_descending = cmp_to_key(_compare_libraries)


def _build_string_table(texts: set[str]) -> tuple[bytes, dict[str, int]]:
    """Return a string table, in which a suffix shares the bytes of a longer string, and all offsets.

    See ``stringtable_finalize`` in glibc.
    """
    # 255 - byte sorts the reversed strings in descending order; 256 sorts a suffix after the longer string
    ordered_texts = sorted(texts, key=lambda text: [*(255 - byte for byte in reversed(text.encode())), 256])
    offsets: dict[str, int] = {}
    strings: list[bytes] = []
    position = 0
    previous = ""
    for text in ordered_texts:
        data = text.encode()
        if previous.endswith(text):
            offsets[text] = offsets[previous] + len(previous.encode()) - len(data)
        else:
            offsets[text] = position
            strings.append(data + b"\0")
            position += len(data) + 1
        previous = text
    return b"".join(strings), offsets


def _read_string(data: bytes, offset: int) -> str:
    end = data.find(b"\0", offset, offset + 4096)
    if end < 0:
        raise FormatError("a string of the loader cache is not terminated")
    try:
        return data[offset:end].decode()
    except UnicodeDecodeError:
        raise FormatError("a string of the loader cache is not UTF-8") from None


def _read_generator(data: bytes, extension: int) -> str:
    if not extension:
        return ""
    if extension + 8 > len(data):
        raise FormatError("the loader cache is truncated")
    magic, count = struct.unpack_from("<II", data, extension)
    if magic != _EXTENSION_MAGIC or extension + 8 + 16 * count > len(data):
        raise FormatError("the loader cache has a damaged extension")
    for number in range(count):
        tag, _, offset, size = struct.unpack_from("<IIII", data, extension + 8 + 16 * number)
        if tag == _TAG_GENERATOR:
            return data[offset : offset + size].decode("utf-8", "replace")
    return ""
