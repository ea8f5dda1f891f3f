"""A file that is read while it is written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.discovery.growing_file import GrowingFile, StaleFileError
from pumice.errors import FormatError


class Reader:
    """Reads a growing file in a thread."""

    def __init__(self, file: GrowingFile, size: int = 1000) -> None:
        self._file, self._size = file, size
        self.data = b""
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            reader = self._file.reader()
            while chunk := reader.read(self._size):
                self.data += chunk
        except StaleFileError as error:
            self.error = error

    def join(self) -> Reader:
        self._thread.join(60)
        assert not self._thread.is_alive()
        self._file.close()
        return self


def append(path: Path, data: bytes) -> int:
    with path.open("ab") as file:
        file.write(data)
        return file.tell()


@given(chunks=st.lists(st.binary(max_size=40), max_size=8), size=st.integers(1, 30))
def test_the_reader_gets_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], size: int
) -> None:
    path = tmp_path_factory.mktemp("growing") / "file"
    path.touch()
    file = GrowingFile()
    reader = Reader(file, size)
    file.begin(path, 0)
    for chunk in chunks:
        file.grow(append(path, chunk))
    file.complete(path, path.stat().st_size)
    path.rename(path.with_name("renamed"))
    reader.join()
    assert (reader.data, reader.error) == (b"".join(chunks), None)


def _begin_again(file: GrowingFile, path: Path) -> None:
    file.begin(path, 0)


def _abandon(file: GrowingFile, path: Path) -> None:
    file.abandon()


@pytest.mark.parametrize("end", [_begin_again, _abandon])
def test_a_file_that_is_replaced_or_given_up_is_stale(
    tmp_path: Path, end: Callable[[GrowingFile, Path], None]
) -> None:
    path = tmp_path / "file"
    file = GrowingFile()
    reader = Reader(file)
    file.begin(path, 0)
    file.grow(append(path, b"some of it"))
    end(file, path)
    assert isinstance(reader.join().error, StaleFileError)
    assert file.is_stale


def test_a_file_that_continues_is_not_stale(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = GrowingFile()
    reader = Reader(file)
    file.begin(path, append(path, b"from before, "))
    file.grow(append(path, b"until the connection breaks, "))
    file.begin(path, path.stat().st_size)
    file.complete(path, append(path, b"and the rest"))
    assert reader.join().data == b"from before, until the connection breaks, and the rest"


def test_a_reader_that_fails_stops_the_writer(tmp_path: Path) -> None:
    file = GrowingFile()
    file.begin(tmp_path / "file", 0)
    file.grow(append(tmp_path / "file", b"no image"))
    file.fail(FormatError("it is not an image"))
    with pytest.raises(FormatError, match="it is not an image"):
        file.grow(append(tmp_path / "file", b"more"))
    file.close()


def test_the_size_is_known_once_it_is_large_enough_or_final(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = GrowingFile()
    file.begin(path, append(path, b"12345"))
    assert file.wait_for_size(3) == 5
    file.complete(path, 5)
    assert file.wait_for_size(100) == 5
    file.close()


@pytest.mark.parametrize("is_begun_again", [True, False])
def test_a_file_that_was_replaced_before_it_is_complete_is_stale(
    tmp_path: Path, *, is_begun_again: bool
) -> None:
    path = tmp_path / "file"
    file = GrowingFile()
    file.begin(path, 0)
    file.grow(append(path, b"old"))
    path.rename(tmp_path / "old")
    if is_begun_again:
        file.begin(path, 0)
    file.complete(path, append(path, b"a newer file"))
    assert file.is_stale
    file.close()


def test_nobody_waits_for_readers_of_an_abandoned_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = GrowingFile()
    file.complete(path, append(path, b"content"))
    reader = file.reader()
    assert reader.read(3) == b"con"
    file.abandon()
    with pytest.raises(StaleFileError):
        reader.read(3)
    file.close()
