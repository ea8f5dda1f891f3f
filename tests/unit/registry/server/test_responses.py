"""Remembered answers, ranges and error documents."""

from __future__ import annotations

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from pumice.registry.server import reads, responses
from pumice.registry.server.accesslog import AccessLog, Line
from pumice.registry.server.response_cache import Entry, Hot
from pumice.registry.server.responses import Answer, FileRange


def whole(size: int) -> Answer:
    return Answer(200, [("content-length", str(size))], bytes(size))


@given(st.integers(0, 50), st.one_of(st.text(), st.from_regex(r"bytes=\d{0,3}-\d{0,3}", fullmatch=True)))
def test_a_part_is_the_whole_a_true_part_or_nothing(size: int, wanted: str) -> None:
    made = reads.part(whole(size), wanted)
    assert made.status in (200, 206, 416)
    if made.status == 206:
        assert 0 < made.length <= size
        assert dict(made.headers)["content-length"] == str(made.length)


def test_a_part_of_a_file_is_a_part_of_the_file() -> None:
    file = Answer(200, [("content-length", "100")], FileRange("/x", 0, 100))
    assert reads.part(file, "bytes=-10").body == FileRange("/x", 90, 100)


def test_every_code_is_a_document() -> None:
    assert len({code.name for code in responses.CODES}) == 14
    for code in responses.CODES:
        made = responses.error(code, detail={"a": 1})
        assert isinstance(made.body, bytes)
        assert json.loads(made.body) == {
            "errors": [{"code": code.name, "message": code.message, "detail": {"a": 1}}]
        }


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30), st.integers(0, 300 << 10)), max_size=60)
)
def test_what_is_remembered_is_bounded_and_forgotten_by_repository(steps: list[tuple[str, int, int]]) -> None:
    hot = Hot()
    for repository, number, size in steps:
        hot.keep(f"{repository}/{number}", Entry(repository, whole(size), False, 0.0))
        assert hot._bytes <= 24 << 20
    hot.forget("a")
    assert not any(path.startswith("a/") for path in hot.entries)
    hot.forget("b")
    hot.forget("c")
    assert (hot.entries, hot._bytes) == ({}, 0)


def test_the_log_is_a_line_for_each_request() -> None:
    file = io.BytesIO()
    log = AccessLog(file, now=lambda: 1_700_000_000.25)
    log.add(Line(log.stamp(), "127.0.0.1:1", "GET", '/"\n', 200, 5, 0.1))
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
