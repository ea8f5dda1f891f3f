"""Names in the content of files."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from pumice.slimming.names import find_names, find_relative_names


def test_paths_of_programs_and_texts_are_found() -> None:
    names = find_names(b"\x7fELF\0/usr/share/app/x.dat\0/lib64/ld.so\0./usr/share/no\0%/etc/y\0/home/me\0")
    assert names.paths == {"usr/share/app/x.dat", "lib64/ld.so", "etc/y"}
    assert find_names(b"Include /etc/app/conf.d/*.conf.\nsee /usr/share/doc/app.").paths == {
        "etc/app/conf.d",
        "usr/share/doc/app",
    }


def test_libraries_are_found_only_in_programs() -> None:
    assert find_names(b"\0libfoo.so.1\0libbar-2.so\0notlib.so\0").sonames == {"libfoo.so.1", "libbar-2.so"}
    assert find_names(b"libfoo.so.1").sonames == frozenset()


def test_relative_names_have_up_to_seven_parts() -> None:
    assert {b"openssl.cnf", b"modules/mod_a.so"} <= find_relative_names(b"\0openssl.cnf\0modules/mod_a.so\0")


@given(st.binary(max_size=500))
def test_any_content_can_be_searched(data: bytes) -> None:
    names = find_names(data)
    assert not any(path.startswith("/") for path in names.paths)
    find_relative_names(data)


def test_hostile_content_takes_linear_time() -> None:
    start = time.process_time()
    for data in (b"/usr/" * 400_000, b"lib" * 700_000, b"/usr/a" + b"/a" * 1_000_000, b"a/" * 1_000_000):
        find_names(b"\0" + data)
        find_relative_names(data)
    assert time.process_time() - start < 60  # quadratic time would be hours
