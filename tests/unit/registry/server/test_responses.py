"""Cached responses, ranges, error documents and the access log."""

from __future__ import annotations

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from pumice.registry.server import read_handlers, responses
from pumice.registry.server.access_log import AccessLog, Line
from pumice.registry.server.response_cache import CacheEntry, ResponseCache
from pumice.registry.server.responses import FileRange, ServerResponse


def response_of(size: int) -> ServerResponse:
    return ServerResponse(200, [("content-length", str(size))], bytes(size))


@given(st.integers(0, 50), st.one_of(st.text(), st.from_regex(r"bytes=\d{0,3}-\d{0,3}", fullmatch=True)))
def test_a_range_selects_a_part_or_everything_or_is_rejected(size: int, byte_range: str) -> None:
    response = read_handlers.apply_range(response_of(size), byte_range)
    assert response.status in (200, 206, 416)
    if response.status == 206:
        assert 0 < response.length <= size
        assert dict(response.headers)["content-length"] == str(response.length)


def test_a_range_of_a_file_is_sent_from_the_file() -> None:
    file = ServerResponse(200, [("content-length", "100")], FileRange("/x", 0, 100))
    assert read_handlers.apply_range(file, "bytes=-10").body == FileRange("/x", 90, 100)


def test_every_error_code_has_a_document() -> None:
    assert len({code.name for code in responses.CODES}) == 14
    for code in responses.CODES:
        response = responses.error(code, detail={"a": 1})
        assert isinstance(response.body, bytes)
        assert json.loads(response.body) == {
            "errors": [{"code": code.name, "message": code.message, "detail": {"a": 1}}]
        }


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30), st.integers(0, 300 << 10)), max_size=60)
)
def test_the_response_cache_is_bounded_and_invalidated_by_repository(
    steps: list[tuple[str, int, int]],
) -> None:
    cache = ResponseCache()
    for repository, number, size in steps:
        entry = CacheEntry(repository, response_of(size), 0.0)
        cache.put(f"{repository}/{number}", entry, cache.generation)
        assert cache._bytes <= 24 << 20
    cache.invalidate("a")
    assert not any(path.startswith("a/") for path in cache.entries)
    cache.invalidate("b")
    cache.invalidate("c")
    assert (cache.entries, cache._bytes) == ({}, 0)


def test_a_response_that_was_read_before_a_change_is_not_cached() -> None:
    cache = ResponseCache()
    generation = cache.generation
    cache.invalidate("a")
    cache.put("/v2/a/manifests/1", CacheEntry("a", response_of(1), 0.0), generation)
    assert cache.entries == {}


def test_the_access_log_has_a_line_for_each_request() -> None:
    file = io.BytesIO()
    log = AccessLog(file, now=lambda: 1_700_000_000.25)
    log.add(Line(log.timestamp(), "127.0.0.1:1", "GET", '/"\n', 200, 5, 0.1))
    log.close()
    assert json.loads(file.getvalue()) == {
        "time": "2023-11-14T22:13:20.250Z",
        "client": "127.0.0.1:1",
        "method": "GET",
        "path": '/"\n',
        "status": 200,
        "bytes": 5,
        "ms": 0.1,
    }
