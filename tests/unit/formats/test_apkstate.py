"""apk's database: packages with their files; any bytes give packages or an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.formats import apkstate

DATABASE = b"""C:Q1abc
P:musl
V:1.2.5-r0
A:x86_64
T:the musl c library
L:MIT
o:musl
m:Jane <jane@example.com>
p:so:libc.musl-x86_64.so.1=1
F:lib
R:ld-musl-x86_64.so.1

P:busybox
V:1.36-r1
D:so:libc.musl-x86_64.so.1 /bin/sh
F:
F:bin
R:busybox
"""


def test_reads_packages_and_their_files() -> None:
    musl, busybox = apkstate.read_installed_packages(DATABASE)
    assert (musl.name, musl.version, musl.license, musl.files) == (
        *("musl", "1.2.5-r0", "MIT"),
        ("lib/ld-musl-x86_64.so.1",),
    )
    assert busybox.files == ("bin/busybox",)
    assert [apkstate.parse_dependency_name(package) for package in (*musl.provides, "a>=1", "b~2")] == [
        "so:libc.musl-x86_64.so.1",
        "a",
        "b",
    ]


def test_a_stanza_without_a_name_is_refused() -> None:
    with pytest.raises(FormatError, match="no name"):
        list(apkstate.read_installed_packages(b"V:1\n"))


@given(st.binary(max_size=300))
def test_any_bytes_return_packages_or_raise_format_error(data: bytes) -> None:
    try:
        list(apkstate.read_installed_packages(data))
    except PumiceError:
        pass
