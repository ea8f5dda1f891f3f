"""Torrents of Pumice, read by libtorrent as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import libtorrent
import pytest

from pumice.errors import FormatError
from pumice.formats import bencode, torrent
from tests.support.handmade import random_bytes

SIZES = (1, 100, 16_384, 16_385, 262_143, 262_144, 262_145, 1_000_000, 3_000_000)


def make(size: int, **options: Any) -> bytes:
    data = random_bytes(size, "torrent")
    chunks = [data[at : at + 77_777] for at in range(0, size, 77_777)]
    return torrent.make_torrent("content", size, chunks, **options)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("with_v1", [True, False])
def test_the_digests_are_those_that_libtorrent_computes(size: int, with_v1: bool, tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(random_bytes(size, "torrent"))
    data = make(size, with_v1=with_v1)
    parsed = torrent.read_torrent(data)
    info = libtorrent.torrent_info(data)
    files = libtorrent.list_files(str(tmp_path / "content"))
    flags = 0 if with_v1 else libtorrent.create_torrent.v2_only
    theirs = libtorrent.create_torrent(files, parsed.piece_size, flags)
    libtorrent.set_piece_hashes(theirs, str(tmp_path))
    expected: Any = theirs.generate()
    actual: Any = libtorrent.bdecode(data)
    for key in (b"file tree", b"pieces", b"length", b"piece length"):
        assert actual[b"info"].get(key) == expected[b"info"].get(key)
    assert actual[b"piece layers"] == expected[b"piece layers"]
    assert info.info_hashes().has_v1() == with_v1
    assert [name.hex() for name in parsed.info_hashes[1:]] == (
        [str(info.info_hashes().v1)] if with_v1 else []
    )
    assert parsed.info_hashes[0].hex() == str(info.info_hashes().v2)[:40]
    assert (parsed.size, parsed.piece_count, parsed.name) == (size, info.num_pieces(), "content")


def test_a_torrent_has_its_trackers_and_web_seeds_and_no_date() -> None:
    urls = {"trackers": ("http://a/announce", "http://b/announce"), "web_seeds": ("https://c/file",)}
    data = make(100, **urls)
    assert data == make(100, **urls)
    parsed = torrent.read_torrent(data)
    assert (parsed.trackers, parsed.web_seeds) == (urls["trackers"], urls["web_seeds"])
    assert b"creation date" not in data


def test_a_name_does_not_make_a_torrent_a_hybrid() -> None:
    data = torrent.make_torrent("6:pieces", 3, [b"abc"], with_v1=False)
    assert len(torrent.read_torrent(data).info_hashes) == 1


def test_the_pieces_of_a_large_file_are_larger() -> None:
    assert torrent.choose_piece_size(1) == 256 << 10
    assert torrent.choose_piece_size(200_000_000) == 256 << 10
    assert torrent.choose_piece_size(2_000_000_000) == 2 << 20
    assert torrent.choose_piece_size(1 << 40) == 64 << 20


@pytest.mark.parametrize("size", [0, 99, 101])
def test_content_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(FormatError, match="bytes, not"):
        torrent.make_torrent("content", size, [bytes(100)])


def changed(**members: Any) -> bytes:
    """Return a torrent whose ``info`` has other members; None removes one."""
    document = bencode.decode(make(100))
    assert isinstance(document, dict)
    info = document[b"info"]
    assert isinstance(info, dict)
    for name, value in members.items():
        key = name.replace("_", " ").encode()
        info.pop(key, None)
        if value is not None:
            info[key] = value
    return bencode.encode(document)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"i1e",
        b"de",
        bytes(torrent.MAX_SIZE + 1),
        changed(name=None),
        changed(piece_length=None),
        changed(piece_length=0),
        changed(piece_length=-16384),
        changed(piece_length=1 << 30),
        changed(piece_length=100_000),
        changed(length=99),
        changed(file_tree={}),
        changed(file_tree={b"a": {b"": {b"length": 1}}, b"b": {b"": {b"length": 1}}}),
        changed(file_tree={b"a": {b"": {b"length": -1}}}, length=None),
        changed(file_tree={b"a": {b"b": {b"": {b"length": 100}}}}),
        changed(meta_version=1),
        changed(meta_version=None),
    ],
)
def test_what_is_not_a_torrent_of_one_file_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        torrent.read_torrent(data)
