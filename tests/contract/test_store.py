"""The contract of every store of blobs."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import pytest

from pumice.digest import of
from pumice.errors import FormatError, StoreError, TrustError
from pumice.store.home import Home
from pumice.store.memory_blobs import MemoryBlobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pumice.digest import Digest
    from pumice.store.blobs import Blobs

ABSENT = of(b"absent")


@pytest.fixture(params=["directory", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Blobs]:
    if request.param == "memory":
        yield MemoryBlobs()
        return
    with Home(tmp_path / "store") as home:
        yield home.blobs


def put(blobs: Blobs, *pieces: bytes) -> Digest:
    with blobs.writer() as writer:
        for piece in pieces:
            assert writer.write(piece) == len(piece)
        return writer.commit()


def read(blobs: Blobs, digest: Digest) -> bytes:
    with blobs.open(digest) as file:
        return file.read()


def test_committed_blob_can_be_read(blobs: Blobs) -> None:
    digest = put(blobs, b"some ", b"", b"content")
    assert digest == of(b"some content")
    assert blobs.size(digest) == 12
    assert read(blobs, digest) == b"some content"
    assert list(blobs.digests()) == [digest]


def test_an_empty_blob_is_a_blob(blobs: Blobs) -> None:
    digest = put(blobs)
    assert blobs.size(digest) == 0
    assert read(blobs, digest) == b""


def test_missing_blob_has_no_size_and_cannot_be_opened(blobs: Blobs) -> None:
    assert blobs.size(ABSENT) is None
    with pytest.raises(StoreError, match="has no blob") as caught:
        blobs.open(ABSENT)
    assert caught.value.hint


def test_any_kind_of_bytes_can_be_written(blobs: Blobs) -> None:
    with blobs.writer() as writer:
        writer.write(b"bytes")
        writer.write(bytearray(b"array"))
        writer.write(memoryview(b"xviewx")[1:-1])
        digest = writer.commit()
    assert read(blobs, digest) == b"bytesarrayview"


def test_an_uncommitted_blob_does_not_exist(blobs: Blobs) -> None:
    with blobs.writer() as writer:
        writer.write(b"forgotten")
    assert blobs.size(of(b"forgotten")) is None
    assert list(blobs.digests()) == []


def test_an_exception_leaves_no_files(blobs: Blobs) -> None:
    with pytest.raises(KeyboardInterrupt), blobs.writer() as writer:
        writer.write(b"interrupted")
        raise KeyboardInterrupt
    assert list(blobs.digests()) == []


def test_commit_rejects_another_digest_than_expected(blobs: Blobs) -> None:
    with blobs.writer() as writer:
        writer.write(b"right")
        assert writer.commit(of(b"right")) == of(b"right")
    with pytest.raises(TrustError, match=ABSENT), blobs.writer() as writer:
        writer.write(b"wrong")
        writer.commit(ABSENT)
    assert list(blobs.digests()) == [of(b"right")]


def test_the_same_content_twice_is_one_blob(blobs: Blobs) -> None:
    assert put(blobs, b"twice") == put(blobs, b"tw", b"ice")
    assert list(blobs.digests()) == [of(b"twice")]


def test_composed_blob_reads_as_the_concatenation_of_its_parts(blobs: Blobs) -> None:
    parts = [put(blobs, b"one"), put(blobs, b""), put(blobs, b"two"), put(blobs, b"one")]
    composed_digest = of(b"onetwoone")
    blobs.compose(parts, composed_digest)
    assert blobs.size(composed_digest) == 9
    assert read(blobs, composed_digest) == b"onetwoone"
    assert set(blobs.digests()) == {*parts, composed_digest}


def test_a_composed_blob_is_seekable(blobs: Blobs) -> None:
    blobs.compose([put(blobs, b"one"), put(blobs, b"two")], of(b"onetwo"))
    with blobs.open(of(b"onetwo")) as file:
        assert file.seek(2) == 2
        assert file.read(2) == b"et"
        assert file.tell() == 4
        assert file.seek(-2, 2) == 4
        assert file.read() == b"wo"
        assert file.read() == b""
        assert file.seek(0) == 0
        assert file.read() == b"onetwo"
        file.seek(100)
        assert file.read() == b""


def test_composed_blobs_can_be_parts(blobs: Blobs) -> None:
    blobs.compose([put(blobs, b"a"), put(blobs, b"b")], of(b"ab"))
    blobs.compose([of(b"ab"), put(blobs, b"c"), of(b"ab")], of(b"abcab"))
    assert read(blobs, of(b"abcab")) == b"abcab"


def test_compose_rejects_missing_parts(blobs: Blobs) -> None:
    with pytest.raises(StoreError, match="has no blob"):
        blobs.compose([put(blobs, b"there"), ABSENT], of(b"whatever"))
    assert blobs.size(of(b"whatever")) is None


def test_a_composed_blob_of_nothing_is_empty(blobs: Blobs) -> None:
    blobs.compose([], of(b""))
    assert blobs.size(of(b"")) == 0
    assert read(blobs, of(b"")) == b""


@pytest.mark.parametrize("name", ["", "sha256:", "sha256:../../etc/passwd", "sha512:" + "0" * 128, "latest"])
def test_a_blob_name_must_be_a_digest(blobs: Blobs, name: str) -> None:
    with pytest.raises(FormatError):
        blobs.size(name)
    with pytest.raises(FormatError):
        blobs.open(name)
    with pytest.raises(FormatError):
        blobs.compose([], name)


@pytest.mark.concurrency
def test_threads_share_a_store(blobs: Blobs) -> None:
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for number in range(30):
                content = b"%d" % (number if number % 2 else number + 1000 * seed)
                digest = put(blobs, content)
                blobs.compose([digest, digest], of(content * 2))
                assert read(blobs, of(content * 2)) == content * 2
                assert blobs.size(digest) == len(content)
        except BaseException as error:  # noqa: BLE001 - shown by the thread that waits
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for digest in blobs.digests():
        assert hashlib.sha256(read(blobs, digest)).hexdigest() == digest[7:]
