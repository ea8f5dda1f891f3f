"""Single values of the App Container specification: what is valid, what is accepted, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.appc import names
from pumice.appc.findings import Findings
from pumice.appc.quantities import parse_quantity
from pumice.errors import FormatError

ID = "sha512-" + "0f" * 64

VALID = {
    "identifier": "a 0 example.com example.com/reduce-worker example.com/a_b-c.d~e example.com/~user/app_v1"
    " linux amd64 version a/b/c/d 3-2-1",
    "name": "a 0 redis reduce-worker a-b-c 0-0",
    "variable": "PATH _ a A.B A-B http_proxy X1",
    "date": "2026-01-02T03:04:05Z 2026-01-02T03:04:05.123456789Z 2026-01-02T03:04:05+01:00"
    " 2024-02-29T00:00:00Z",
    "version": "0.8.11 0.0.1 0.8.11+git 0.9.0-rc1 0.1.0",
    "web address": "http://example.com https://example.com:8443/a?b#c http://[2001:db8::1]/",
    "absolute path": "/ /a /a/b /a/./b /...",
    "image ID": ID,
    "UUID": "6733c088-a507-4694-aabf-edbe4fc5266f 6733c088a5074694aabfedbe4fc5266f"
    " 6733C088A5074694AABFEDBE4FC5266F",
}
UNUSUAL = {
    "identifier": "a//b a..b a--b a./b a/-b example.com/~~user",
    "name": "a--b a---b",
}
INVALID = {
    "identifier": [
        "",
        "A",
        "Example.com",
        "-a",
        "a-",
        "/a",
        "a/",
        "~a",
        "a b",
        "a\n",
        "a:b",
        "a@b",
        "é",
        "a/../b",
        "a/./b",
        "..",
        ".",
        "a" * 1025,
        "a\x00",
        "a%b",
    ],
    "name": ["", "A", "-a", "a-", "a.b", "a/b", "a_b", "a b", "a~b", "a\n", "é", "a" * 1025],
    "variable": ["", "1A", "A=B", "A B", "-A", ".A", "é", "A\n"],
    "date": [
        "",
        "2026-01-02",
        "2026-01-02 03:04:05Z",
        "2026-01-02T03:04:05",
        "2026-02-30T00:00:00Z",
        "now",
        "2026-13-01T00:00:00Z",
        "2026-01-02T25:00:00Z",
        "\uff12\uff10\uff12\uff16-01-02T03:04:05Z",
        "2026-01-02T03:04:05Z\n",
    ],
    "version": [
        "",
        "0.0.0",
        "1",
        "0.8",
        "v0.8.11",
        "0.8.11.1",
        "2.0.0",
        "1.0.0",
        "00.8.1",
        "0.8.x",
        "0.8.11\n",
    ],
    "web address": [
        "",
        "example.com",
        "ftp://example.com",
        "file:///x",
        "https://",
        "javascript:x",
        "http://[",
    ],
    "absolute path": ["", "a", "./a", "../a", "/../a", "/a/..", "/a\0", "/" + "a" * 4096],
    "image ID": [
        "",
        "sha512-",
        "sha512-" + "0" * 127,
        "sha512-" + "0" * 129,
        "sha512-" + "g" * 128,
        "sha512-" + "A" * 128,
        "sha256-" + "0" * 128,
        "sha512:" + "0" * 128,
        ID + "\n",
        "sha512-" + "../" * 42 + "ab",
    ],
    "UUID": ["", "6733c088", "6733c088-a507-4694-aabf-edbe4fc5266g", "0" * 31, "0" * 33, "------"],
}


def read(kind: str, text: str, findings: Findings) -> str:
    checks: dict[str, Callable[[], str]] = {
        "identifier": lambda: names.check_identifier(text, "here", findings),
        "name": lambda: names.check_name(text, "here", findings),
        "variable": lambda: names.check_variable(text, "here"),
        "date": lambda: names.check_date(text, "here"),
        "version": lambda: names.check_version(text, "here"),
        "web address": lambda: names.check_web_address(text, "here"),
        "absolute path": lambda: names.check_absolute_path(text, "here"),
        "image ID": lambda: names.check_image_id(text, "here"),
        "UUID": lambda: names.check_uuid(text, "here"),
    }
    return checks[kind]()


def rows(table: dict[str, str] | dict[str, list[str]]) -> list[tuple[str, str]]:
    return [
        (kind, text)
        for kind, texts in table.items()
        for text in (texts.split() if isinstance(texts, str) else texts)
    ]


@pytest.mark.parametrize(("kind", "text"), rows(VALID))
def test_valid_values_are_accepted_without_a_warning(kind: str, text: str) -> None:
    result = read(kind, text, Findings(strict=True))
    assert result == text or kind == "UUID"


@pytest.mark.parametrize(("kind", "text"), rows(UNUSUAL))
def test_values_that_only_other_readers_accept_are_read_but_not_written(kind: str, text: str) -> None:
    findings = Findings()
    assert read(kind, text, findings) == text
    assert len(findings.warnings) == 1
    with pytest.raises(FormatError, match="separators"):
        read(kind, text, Findings(strict=True))


@pytest.mark.parametrize(("kind", "text"), rows(INVALID))
def test_invalid_values_are_refused_with_their_place(kind: str, text: str) -> None:
    with pytest.raises(FormatError) as error:
        read(kind, text, Findings())
    assert error.value.where == "here"
    assert len(error.value.message) < 300


def test_a_uuid_has_one_canonical_form() -> None:
    forms = {names.check_uuid(text, "here") for text in VALID["UUID"].split()}
    assert forms == {"6733c088-a507-4694-aabf-edbe4fc5266f"}


@given(st.text(max_size=20))
def test_a_name_made_from_any_text_is_valid(text: str) -> None:
    try:
        name = names.make_name(text)
    except FormatError:
        return
    assert names.check_name(name, "here", Findings(strict=True)) == name


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", Fraction(0)),
        ("2", Fraction(2)),
        ("+2", Fraction(2)),
        ("500m", Fraction(1, 2)),
        ("1.5", Fraction(3, 2)),
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("1u", Fraction(1, 10**6)),
        ("1n", Fraction(1, 10**9)),
        ("1k", Fraction(1000)),
        ("1M", Fraction(10**6)),
        ("1G", Fraction(10**9)),
        ("1T", Fraction(10**12)),
        ("1P", Fraction(10**15)),
        ("1E", Fraction(10**18)),
        ("1Ki", Fraction(1024)),
        ("512Mi", Fraction(512 << 20)),
        ("1Gi", Fraction(1 << 30)),
        ("1Ti", Fraction(1 << 40)),
        ("1Pi", Fraction(1 << 50)),
        ("1Ei", Fraction(1 << 60)),
        ("1e3", Fraction(1000)),
        ("12E-1", Fraction(6, 5)),
        ("-0", Fraction(0)),
    ],
)
def test_quantities_are_exact(text: str, value: Fraction) -> None:
    assert parse_quantity(text, "here", Findings(strict=True)) == value


def test_the_suffix_k_may_be_a_capital_in_the_text_of_the_specification_only() -> None:
    findings = Findings()
    assert parse_quantity("2K", "here", findings) == 2000
    assert findings.warnings


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m",
        "1 m",
        "1mi",
        "1Zi",
        "-1",
        "1e",
        "1e9999",
        "0x10",
        "1_000",
        "1,5",
        "1.2.3",
        "\u0661",
        "9" * 65,
        "1e999",
        "10E",
        "NaN",
        "inf",
        "1\n",
    ],
)
def test_invalid_quantities_are_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_quantity(text, "here", Findings())
