"""Valid, malformed and hostile headers of registries."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError
from pumice.registry import headers
from pumice.registry.headers import Challenge

URL = "https://registry.example/v2/app/tags/list?n=2"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["Basic realm=x"], [Challenge("basic", {"realm": "x"})]),
        (["Negotiate"], [Challenge("negotiate", {})]),
        (
            ['Bearer realm="https://auth.example/t",service="r, \\"s\\"",scope="repository:a:pull,push"'],
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.example/t",
                        "service": 'r, "s"',
                        "scope": "repository:a:pull,push",
                    },
                )
            ],
        ),
        (
            ['Basic realm="a", Bearer realm="b" , service=c', "Digest x=y"],
            [
                Challenge("basic", {"realm": "a"}),
                Challenge("bearer", {"realm": "b", "service": "c"}),
                Challenge("digest", {"x": "y"}),
            ],
        ),
        (["", "=", '"'], []),
    ],
)
def test_challenges_are_parsed(values: list[str], expected: list[Challenge]) -> None:
    assert list(headers.parse_challenges(values)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            '</v2/app/tags/list?n=2&last=b>; rel="next"',
            "https://registry.example/v2/app/tags/list?n=2&last=b",
        ),
        ("<?n=2&last=b>; rel=next", "https://registry.example/v2/app/tags/list?n=2&last=b"),
        ('</a>; rel="prev", </b>; title="x"; rel="next last"', "https://registry.example/b"),
        ("<https://registry.example:443/b>; rel=next", "https://registry.example:443/b"),
        (
            "<http://internal.example:5000/v2/app/tags/list?last=b>; rel=next",
            "https://registry.example/v2/app/tags/list?last=b",
        ),
        ('</b>; rel="prev"', ""),
        ("</b>", "https://registry.example/b"),
        ("", ""),
    ],
)
def test_the_next_link_is_parsed(value: str, expected: str) -> None:
    assert headers.parse_next_link([value], URL) == expected


@pytest.mark.parametrize(
    "value",
    [
        "<https://other.example/b>; rel=next",
        "<http://registry.example/b>; rel=next",
        "<https://user@registry.example/v2/app/tags/list>; rel=next",
        "<ftp://registry.example/v2/app/tags/list>; rel=next",
        "/v2/app/tags/list?last=b",
        "<unclosed",
    ],
)
def test_an_unusable_link_is_an_error(value: str) -> None:
    with pytest.raises(FormatError, match="unusable link"):
        headers.parse_next_link([value], URL)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5", 5.0),
        (" 0 ", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("-1", None),
        ("1.5", None),
        ("9" * 40, None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_parsed(value: str, expected: float | None) -> None:
    assert headers.parse_retry_after([value], 60.0) == expected


def test_warnings_are_those_of_the_specification() -> None:
    given_ = [
        '299 - "it \\"moves\\""',
        '299 host "b"',
        '199 - "no"',
        "299 - bare",
        '299 - "' + "x" * 5000 + '"',
    ]
    assert headers.parse_warnings(given_) == ['it "moves"', "b"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0-9", 10), ("bytes=0-0", 1), ("1-9", None), ("0-", None), ("", None), ("0-x", None)],
)
def test_the_upload_range_is_parsed(value: str, expected: int | None) -> None:
    assert headers.parse_upload_range(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes 5-9/10", (5, 10)),
        ("bytes 5-9/*", (5, None)),
        ("bytes 9-5/10", None),
        ("5-9", None),
        ("", None),
    ],
)
def test_the_content_range_is_parsed(value: str, expected: tuple[int, int | None] | None) -> None:
    assert headers.parse_content_range(value) == expected


@given(st.text(max_size=200) | st.text(' ",=<>;\\abrelnext/:?-09', max_size=120))
def test_any_header_is_parsed_or_ignored(text: str) -> None:
    headers.parse_challenges([text])
    headers.parse_warnings([text])
    headers.parse_retry_after([text], 0)
    headers.parse_upload_range(text)
    headers.parse_content_range(text)
    headers.parse_number(text)
    with suppress(FormatError):
        target = headers.parse_next_link([text], URL)
        assert target == "" or headers.origin(target) == headers.origin(URL)
    location = headers.resolve_url(URL, text)
    assert location == "" or location.startswith(("https://", "http://"))
