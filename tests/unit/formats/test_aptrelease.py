"""A Release is read without regard to locale, and its lists without reading them whole."""

from __future__ import annotations

import calendar
from email.utils import formatdate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.formats import aptrelease

HASH = "0123456789abcdef" * 4
OTHER = "f" * 64
RELEASE = f"""\
Origin: Debian
Label: Debian
Suite: oldstable
Codename: bookworm
Date: Sat, 11 Jul 2026 10:16:37 UTC
Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC
Acquire-By-Hash: yes
No-Support-for-Architecture-all: Packages
Architectures: all amd64 arm64
Components: main contrib
MD5Sum:
 0ed6d4c8891eb86358b94bb35d9e4da4 1 main/binary-amd64/Packages
SHA256:
 {HASH}  1484322 main/binary-amd64/Packages
 {OTHER}    20 main/binary-amd64/Packages.gz
 {OTHER}    21 more/main/binary-amd64/Packages.gz
"""


def test_reads_fields() -> None:
    release = aptrelease.read_release(RELEASE.encode())
    assert (release.origin, release.suite, release.codename) == ("Debian", "oldstable", "bookworm")
    assert release.date == calendar.timegm((2026, 7, 11, 10, 16, 37))
    assert release.valid_until - release.date == 7 * 86400
    assert release.by_hash
    assert release.architectures == ("all", "amd64", "arm64")
    assert not release.separate_all


def test_finds_a_file_by_its_full_path() -> None:
    release = aptrelease.read_release(RELEASE.encode())
    assert release.find_file("main/binary-amd64/Packages") == aptrelease.FileHash(1484322, HASH)
    assert release.find_file("main/binary-amd64/Packages.gz") == aptrelease.FileHash(20, OTHER)
    assert release.find_file("binary-amd64/Packages.gz") is None
    assert release.find_file("main/binary-amd64/Packages.xz") is None


def test_sha512_alone_is_enough() -> None:
    release = aptrelease.read_release(f"Origin: x\nSHA512:\n {HASH * 2} 7 a\n".encode())
    assert release.find_file("a") == aptrelease.FileHash(7, "", HASH * 2)


def test_reads_whether_architecture_all_has_its_own_index() -> None:
    text = RELEASE.replace("No-Support-for-Architecture-all: Packages\n", "")
    assert aptrelease.read_release(text.encode()).separate_all


@pytest.mark.parametrize(
    "lines",
    [
        f" {HASH} 1 a\n {OTHER} 1 a\n",
        f" {HASH} 1 a\n {HASH} 2 a\n",
        " abc 1 a\n",
        f" {HASH} -1 a\n",
        f" {HASH} 9999999999999999 a\n",
        f" {HASH.upper()} 1 a\n",
    ],
)
def test_refuses_contradictory_lists(lines: str) -> None:
    release = aptrelease.read_release(f"Origin: x\nSHA256:\n{lines}".encode())
    with pytest.raises(FormatError):
        release.find_file("a")


@pytest.mark.parametrize("data", [b"", b"Origin: x\n", b"Origin: x\nMD5Sum:\n a 1 b\n", b"A: 1\n\nSHA256:\n"])
def test_refuses_a_release_without_usable_digests(data: bytes) -> None:
    with pytest.raises(FormatError):
        aptrelease.read_release(data)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "Sat, 11 Jul 2026 10:16:37 CEST", "Sat, 31 Foo 2026 10:16:37 UTC", "11 Jul 2026",
     "Sat, 99 Jul 2026 10:16:37 UTC", "Sat, 11 Jul 2026 25:16:37 UTC", "Sat, 11 Jul 1803 10:16:37 UTC"],
)  # fmt: skip
def test_refuses_dates_that_are_not_in_utc(text: str) -> None:
    with pytest.raises(FormatError):
        aptrelease.parse_date(text)


@given(st.integers(0, 253402300799))
@example(0)
def test_dates_round_trip(seconds: int) -> None:
    assert aptrelease.parse_date(formatdate(seconds, usegmt=True)) == seconds
    assert aptrelease.parse_date(formatdate(seconds, usegmt=True).replace("GMT", "UTC")) == seconds


@given(st.binary() | st.text(st.sampled_from("SHA256:\n 0a1/")).map(lambda tail: f"SHA256:{tail}".encode()))
def test_any_bytes_return_a_release_or_raise_format_error(data: bytes) -> None:
    try:
        aptrelease.read_release(data).find_file("a")
    except PumiceError:
        pass
