"""The log of a pod has all output, whatever its pieces are."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.runtime.pods.supervisor.log_writer import NAME, PREVIOUS, LogWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LINE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z (stdout|stderr) ([FP]) (.*)", re.DOTALL)


def write(folder: Path, pieces: Iterable[tuple[str, bytes]], limit: int = 1 << 40) -> None:
    directory = os.open(folder, os.O_RDONLY)
    writer = LogWriter(directory, limit)
    for stream, data in pieces:
        writer.add(stream, data)
    writer.close()
    os.close(directory)


def read(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the stream of each line, and its text."""
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    for line in lines:
        match = _LINE.fullmatch(line)
        assert match is not None, line[:80]
        stream, mark, text = match.groups()
        yield stream.decode(), text + (b"\n" if mark == b"F" else b"")


def join(entries: Iterable[tuple[str, bytes]], stream: str) -> bytes:
    return b"".join(text for name, text in entries if name == stream)


_TEXT = st.one_of(
    st.binary(max_size=20),
    st.lists(st.sampled_from([b"\n", b"a", b"\n\n", b"line\n", b"x" * 70_000]), max_size=4).map(b"".join),
    st.integers(1, 200_000).map(lambda count: b"\n" * count),
)


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), _TEXT), max_size=8))
def test_each_stream_is_complete_and_every_line_has_a_time(pieces: list[tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), pieces)
        entries = list(read(Path(name, NAME)))
    for stream in ("stdout", "stderr"):
        assert join(entries, stream) == join(pieces, stream)


def test_a_line_that_is_too_long_is_written_in_parts(tmp_path: Path) -> None:
    write(tmp_path, [("stdout", b"x" * 50_000)] * 10)
    sizes = [len(text) for _, text in read(tmp_path / NAME)]
    assert sizes == [100_000] * 5


def test_a_log_that_has_reached_its_limit_becomes_the_previous_one(tmp_path: Path) -> None:
    line = b"y" * 999 + b"\n"
    write(tmp_path, [("stdout", line)] * 100, limit=20_000)
    sizes = [(tmp_path / name).stat().st_size for name in (NAME, PREVIOUS)]
    assert all(0 < size <= 20_000 for size in sizes)
    texts = [text for name in (PREVIOUS, NAME) for _, text in read(tmp_path / name)]
    assert set(texts) == {line}


def test_what_the_disk_takes_in_parts_is_written_completely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.writev
    monkeypatch.setattr(os, "writev", lambda fd, parts: real(fd, [b"".join(parts)[:7]]))
    write(tmp_path, [("stderr", b"one\ntwo\nthree")])
    assert join(read(tmp_path / NAME), "stderr") == b"one\ntwo\nthree"


def test_a_full_disk_does_not_stop_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "writev", fail)
    write(tmp_path, [("stdout", b"lost\n")])
    assert (tmp_path / NAME).read_bytes() == b""
