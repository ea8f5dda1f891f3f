from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.formats import ldcache
from pumice.formats.ldcache import Library

GENERATOR = "ldconfig (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36"
NAMES = st.text(st.sampled_from("ab.019-_+"), min_size=1, max_size=12)


def test_names_descend_with_numbers_by_value() -> None:
    names = ["libm.so.2", "libm.so.10", "libm.so", "libma.so", "libc.so.6", "ld-linux.so.2"]
    cache = ldcache.encode_cache([Library(name, f"/lib/{name}", 0x303) for name in names], GENERATOR)
    found, generator = ldcache.read_cache(cache)
    assert [library.name for library in found] == [
        "libma.so",
        "libm.so.10",
        "libm.so.2",
        "libm.so",
        "libc.so.6",
        "ld-linux.so.2",
    ]
    assert generator == GENERATOR


def test_the_same_name_keeps_the_order_of_directories_and_wide_before_narrow() -> None:
    libraries = [
        Library("libz.so.1", "/usr/local/lib/libz.so.1", 0x303),
        Library("libz.so.1", "/lib32/libz.so.1", 0x3),
        Library("libz.so.1", "/lib/libz.so.1", 0x303),
    ]
    found, _ = ldcache.read_cache(ldcache.encode_cache(libraries, GENERATOR))
    assert [library.path for library in found] == [
        "/usr/local/lib/libz.so.1",
        "/lib/libz.so.1",
        "/lib32/libz.so.1",
    ]


def test_tails_are_shared() -> None:
    cache = ldcache.encode_cache([Library("libz.so.1", "/lib/libz.so.1", 0x303)], GENERATOR)
    assert cache.count(b"libz.so.1") == 1


@given(st.lists(st.tuples(NAMES, NAMES), max_size=20))
def test_what_was_written_is_read(pairs: list[tuple[str, str]]) -> None:
    libraries = [Library(name, f"/{folder}/{name}", 0x303) for name, folder in pairs]
    found, _ = ldcache.read_cache(ldcache.encode_cache(libraries, GENERATOR))
    assert sorted(found, key=str) == sorted(libraries, key=str)


@given(NAMES, NAMES, NAMES)
def test_the_order_is_one(a: str, b: str, c: str) -> None:
    assert ldcache.compare_names(a, a) == 0
    assert (ldcache.compare_names(a, b) > 0) == (ldcache.compare_names(b, a) < 0)
    if ldcache.compare_names(a, b) <= 0 and ldcache.compare_names(b, c) <= 0:
        assert ldcache.compare_names(a, c) <= 0


@given(st.binary(max_size=300))
def test_any_bytes_give_a_cache_or_an_error(data: bytes) -> None:
    for candidate in (data, b"glibc-ld.so.cache1.1" + data):
        try:
            ldcache.read_cache(candidate)
        except PumiceError:
            continue


def test_a_cache_that_is_cut_short_is_refused() -> None:
    cache = ldcache.encode_cache([Library("libz.so.1", "/lib/libz.so.1", 0x303)], GENERATOR)
    with pytest.raises(FormatError, match="truncated"):
        ldcache.read_cache(cache[:60])
