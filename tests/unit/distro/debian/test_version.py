from __future__ import annotations

import contextlib
import itertools
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice.distro.debian import version
from pumice.errors import FormatError, PumiceError
from tests.support import peers

ASCENDING = [
    # deb-version(7): "~~", "~~a", "~", the empty part, "a"
    "0~~", "0~~a", "0~", "0", "0a", "0+", "0-0a", "0.0~", "0.0",
    "1.0~beta1~svn1245", "1.0~beta1", "1.0", "1.0-0.1", "1.0-1~bpo12+1", "1.0-1", "1.0-1+b1", "1.0-1+deb12u1",
    "1.0-1.1", "1.0-2", "1.0-10", "1.0+dfsg-1", "1.0.0-1", "1.1", "1.2", "1.10", "1.2a+~", "2", "10",
    "09999999999999999999999999",
    "1:0", "1:0.1", "2:0~rc1",
]  # fmt: skip
EQUAL = [
    ("0", "0:0"), ("0", "0-0"),
    ("0-0", "00-0"), ("0-0", "0-00"), ("1.0", "1.00"), ("1.", "1.0"), ("1a", "1a0"),
    ("0:1:2-3", "0:01:02-03"), ("00001:1", "1:1"), ("1.0-1a", "1.0-1a000"),
]  # fmt: skip
VALID = [
    "0", "0:0", "0:0-0", "0:0.0-0.0", "1:0", "5:1", "0:0-0-0", "0:0-0-0-0", "0:0:0-0",
    "0:0:0:0-0", "0:0:0-0-0",
    "0:0-0:0-0", "0:09azAZ.-+~:-0", "0:0-azAZ09.+~", "2147483647:1",
]  # fmt: skip
INVALID = [
    "", " ", "0:", "0:0 0-1", "-1:0-1", "999999999999999999999999:0-1", "2147483648:1",
    "a:0-0", "A:0-0", "-0", "0:-0",
    "0:abc3-0", "0:0-0:0", "0-", "0:0-", " 0", "0\n", "٣", "1:", ":1", "0-1:2", "1" * 5000,
    *[f"0:0{letter}-0" for letter in "!#@$%&/|\\<>()[]{};,_=*^'é\0"],
    *[f"0:0-{letter}" for letter in "!#@$%&/|\\<>()[]{}:;,_=*^'é\0"],
]  # fmt: skip


def _is_valid(text: str) -> bool:
    try:
        return version.check_version(text) == text
    except FormatError:
        return False


ALPHABET = st.text(alphabet="019aAzZ.+~-:", max_size=8)
versions = st.builds(
    lambda epoch, start, rest: f"{epoch}{start}{rest}",
    st.sampled_from(["", "0:", "1:", "12:"]),
    st.sampled_from("0129"),
    ALPHABET,
).filter(_is_valid)


def test_orders_the_published_examples() -> None:
    ordered = sorted(ASCENDING, key=version.sort_key)
    for older, newer in itertools.pairwise(ordered):
        assert version.compare_versions(older, newer) == -1
        assert version.compare_versions(newer, older) == 1
    for chain in (ASCENDING[:5], ASCENDING[9:16], ASCENDING[-3:]):
        assert sorted(chain, key=version.sort_key) == chain


@pytest.mark.parametrize(("first_version", "second_version"), EQUAL)
def test_equal_versions_have_equal_keys(first_version: str, second_version: str) -> None:
    assert version.compare_versions(first_version, second_version) == 0
    assert version.sort_key(first_version) == version.sort_key(second_version)


@pytest.mark.parametrize("text", VALID)
def test_accepts_valid_versions(text: str) -> None:
    assert version.check_version(text) == text


@pytest.mark.parametrize("text", INVALID)
def test_refuses_invalid_versions(text: str) -> None:
    with pytest.raises(FormatError, match="is not a Debian version"):
        version.check_version(text)


@given(versions, versions, versions)
def test_order_is_total(first_version: str, second_version: str, third_version: str) -> None:
    assert version.compare_versions(first_version, second_version) == -version.compare_versions(
        second_version, first_version
    )
    if (
        version.compare_versions(first_version, second_version) <= 0
        and version.compare_versions(second_version, third_version) <= 0
    ):
        assert version.compare_versions(first_version, third_version) <= 0


@given(versions)
def test_a_tilde_sorts_before_and_a_suffix_after(text: str) -> None:
    assert version.compare_versions(text + "~", text) == -1
    assert version.compare_versions(text + "+b1", text) == 1


@given(st.text())
def test_any_text_has_a_key_and_check_raises_only_format_error(text: str) -> None:
    assert version.compare_versions(text, text) == 0
    assert isinstance(version.sort_key(text), str)
    with contextlib.suppress(PumiceError):
        version.check_version(text)


@pytest.mark.peer("dpkg")
@settings(max_examples=300, deadline=None)
@given(versions, versions)
def test_agrees_with_dpkg(first_version: str, second_version: str) -> None:
    peers.need("dpkg")
    expected = {-1: "lt", 0: "eq", 1: "gt"}[version.compare_versions(first_version, second_version)]
    command = ["dpkg", "--compare-versions", first_version, expected, second_version]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.peer("dpkg")
def test_published_examples_agree_with_dpkg() -> None:
    peers.need("dpkg")
    for older_version, newer_version in itertools.combinations(ASCENDING, 2):
        expected = {-1: "lt", 0: "eq", 1: "gt"}[version.compare_versions(older_version, newer_version)]
        assert (
            subprocess.run(
                ["dpkg", "--compare-versions", older_version, expected, newer_version], check=False
            ).returncode
            == 0
        ), (
            older_version,
            newer_version,
        )


@pytest.mark.parametrize(
    ("package_version", "upstream"),
    [
        ("15.14-0+deb12u1", "15.14"),
        ("1:9.2p1-2+deb12u7", "9.2p1"),
        ("2:8.2.13+dfsg1-1~deb12u1", "8.2.13"),
        ("8.0.2+ds-1", "8.0.2"),
        ("20230311+deb12u1", "20230311"),
        ("12.4+deb12u11", "12.4"),
        ("2.0~bpo12+1", "2.0"),
        ("2.0-1~bpo12+1", "2.0"),
        ("17.0.16+8-1~deb12u1", "17.0.16+8"),
        ("16~rc1-1", "16~rc1"),
        ("1.24~really1.22-2", "1.24~really1.22"),
        ("5.0.3+really4.9.1-1", "4.9.1"),
        ("1.0+b1", "1.0"),
        ("1.0.dfsg.1-3+b2", "1.0"),
        ("9.0-1-2", "9.0-1"),
        ("7.2.5+repack-1", "7.2.5"),
        ("1", "1"),
    ],
)
def test_the_upstream_version_has_no_parts_of_the_packaging(package_version: str, upstream: str) -> None:
    assert version.upstream_version(package_version) == upstream
