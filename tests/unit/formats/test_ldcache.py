from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.formats import ldcache
from pumice.formats.ldcache import Library

GENERATOR = "ldconfig (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36"
NAMES = st.text(st.sampled_from("ab.019-_+"), min_size=1, max_size=12)


def test_entries_are_in_descending_order_with_numeric_comparison() -> None:
    names = ["libm.so.2", "libm.so.10", "libm.so", "libma.so", "libc.so.6", "ld-linux.so.2"]
    cache = ldcache.encode_cache([Library(name, f"/lib/{name}", 0x303) for name in names], GENERATOR)
    libraries, generator = ldcache.read_cache(cache)
    assert [library.name for library in libraries] == [
        "libma.so",
        "libm.so.10",
        "libm.so.2",
        "libm.so",
        "libc.so.6",
        "ld-linux.so.2",
    ]
    assert generator == GENERATOR


def test_equal_names_keep_the_order_of_directories_and_64_bit_comes_first() -> None:
    libraries = [
        Library("libz.so.1", "/usr/local/lib/libz.so.1", 0x303),
        Library("libz.so.1", "/lib32/libz.so.1", 0x3),
        Library("libz.so.1", "/lib/libz.so.1", 0x303),
    ]
    decoded, _ = ldcache.read_cache(ldcache.encode_cache(libraries, GENERATOR))
    assert [library.path for library in decoded] == [
        "/usr/local/lib/libz.so.1",
        "/lib/libz.so.1",
        "/lib32/libz.so.1",
    ]


def test_strings_share_suffixes() -> None:
    cache = ldcache.encode_cache([Library("libz.so.1", "/lib/libz.so.1", 0x303)], GENERATOR)
    assert cache.count(b"libz.so.1") == 1


@given(st.lists(st.tuples(NAMES, NAMES), max_size=20))
def test_caches_round_trip(pairs: list[tuple[str, str]]) -> None:
    libraries = [Library(name, f"/{folder}/{name}", 0x303) for name, folder in pairs]
    decoded, _ = ldcache.read_cache(ldcache.encode_cache(libraries, GENERATOR))
    assert sorted(decoded, key=str) == sorted(libraries, key=str)


@given(NAMES, NAMES, NAMES)
def test_order_is_total(first_name: str, second_name: str, third_name: str) -> None:
    assert ldcache.compare_names(first_name, first_name) == 0
    assert (ldcache.compare_names(first_name, second_name) > 0) == (
        ldcache.compare_names(second_name, first_name) < 0
    )
    if (
        ldcache.compare_names(first_name, second_name) <= 0
        and ldcache.compare_names(second_name, third_name) <= 0
    ):
        assert ldcache.compare_names(first_name, third_name) <= 0


@given(st.binary(max_size=300))
def test_any_bytes_return_a_cache_or_raise_format_error(data: bytes) -> None:
    for candidate in (data, b"glibc-ld.so.cache1.1" + data):
        try:
            ldcache.read_cache(candidate)
        except PumiceError:
            continue


def test_refuses_a_truncated_cache() -> None:
    cache = ldcache.encode_cache([Library("libz.so.1", "/lib/libz.so.1", 0x303)], GENERATOR)
    with pytest.raises(FormatError, match="truncated"):
        ldcache.read_cache(cache[:60])
