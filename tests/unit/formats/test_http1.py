"""Requests of HTTP/1.1: what is accepted, and every kind of request that is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.formats import http1
from pumice.formats.http1 import Request, RequestError, RequestReader, Response


def read(data: bytes, step: int = 0) -> Request | None:
    reader = RequestReader()
    for start in range(0, len(data), step or len(data) or 1):
        request = reader.feed(data[start : start + (step or len(data))])
        if request is not None:
            return request
    return None


def test_a_request_is_complete_with_its_body() -> None:
    data = b"POST /a%20b?x=1&y HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nX: 1\r\nx: 2\r\n\r\nabcdef"
    assert read(data) == Request(
        "POST", "/a%20b", "x=1&y", {"host": "h", "content-length": "3", "x": "1, 2"}, b"abc"
    )
    assert read(data[:-4]) is None


@given(st.integers(1, 40))
def test_the_pieces_of_a_request_do_not_matter(step: int) -> None:
    data = b"POST /path HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
    assert read(data, step) == read(data)


HEAD = b"GET / HTTP/1.1\r\nHost: h\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"G\x00T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (HEAD + b"Host: i\r\n\r\n", 400),
        (HEAD + b" folded\r\n\r\n", 400),
        (HEAD + b"Name : x\r\n\r\n", 400),
        (HEAD + b"Name: a\x00b\r\n\r\n", 400),
        (HEAD + b"Name: a\nb: c\r\n\r\n", 400),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD + b"Content-Length: +1\r\n\r\n", 400),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (HEAD + b"Content-Length: 65537\r\n\r\n", 413),
        (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 413),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", 411),
        (HEAD + b"X: y\r\n" * 80 + b"\r\n", 431),
        (HEAD + b"X: " + b"y" * 9000, 431),
        (b"x" * 9000, 431),
    ],
)
def test_malformed_requests_are_refused(data: bytes, status: int) -> None:
    with pytest.raises(RequestError) as caught:
        read(data)
    assert caught.value.status == status


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    try:
        read(data + b"\r\n\r\n")
    except RequestError as error:
        assert 400 <= error.status < 500


def test_the_body_is_awaited_after_expect() -> None:
    reader = RequestReader()
    assert (
        reader.feed(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        is None
    )
    assert reader.awaits_continue
    assert reader.missing_size == 2


def test_a_response_ends_the_connection() -> None:
    data = http1.encode_response(Response(200, b"hi", headers=(("X", "y"),)))
    assert data == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Length: 2\r\nX: y\r\n"
        b"Connection: close\r\n\r\nhi"
    )
    assert http1.encode_response(Response(200, b"hi"), is_head=True).endswith(b"close\r\n\r\n")


def test_fields_are_decoded() -> None:
    assert http1.read_fields("a=1+2%26&b=&%63=%ff&d") == {"a": b"1 2&", "b": b"", "c": b"\xff", "d": b""}


@pytest.mark.parametrize("text", ["a=1&a=2", "a=1&%61=2", "&".join(f"f{number}=" for number in range(17))])
def test_ambiguous_and_many_fields_are_refused(text: str) -> None:
    with pytest.raises(RequestError):
        http1.read_fields(text)


@pytest.mark.parametrize("segment", ["%2f", "a%2Fb", "%00", "%0a", "%ff"])
def test_segments_that_hide_something_are_refused(segment: str) -> None:
    with pytest.raises(RequestError):
        http1.decode_segment(segment)
