"""Tar: what is written is read back, by us and by others; what is hostile is refused."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError
from pumice.formats import paxrecords, tar
from pumice.formats.tar import Entry

_NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=130)
_PATHS = (
    st.lists(_NAMES.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4)
    .map("/".join)
    .filter(lambda path: len(path.encode()) < 900)
)
_ENTRIES = st.builds(
    Entry,
    path=_PATHS,
    kind=st.sampled_from(["dir", "symlink", "hardlink", "fifo"]),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 1 << 40),
    gid=st.integers(0, 1 << 40),
    mtime=st.integers(0, 1 << 40),
    xattrs=st.dictionaries(st.sampled_from(["user.a", "security.capability"]), st.binary(max_size=40)),
).map(
    lambda entry: Entry(
        *(entry.path, entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime, 0),
        entry.path if entry.kind in ("symlink", "hardlink") else "",
        entry.xattrs,
    )
)


def make_archive(*entries: Entry, end: bytes = tar.END_OF_ARCHIVE) -> bytes:
    return b"".join(tar.encode_header(entry) for entry in entries) + end


def read_all(data: bytes) -> list[Entry]:
    return [entry for entry, _ in tar.read_entries(io.BytesIO(data))]


@given(st.lists(_ENTRIES, max_size=5))
def test_entries_round_trip(entries: list[Entry]) -> None:
    assert read_all(make_archive(*entries)) == entries


@given(_ENTRIES)
def test_tarfile_reads_the_same_entries(entry: Entry) -> None:
    with tarfile.open(fileobj=io.BytesIO(make_archive(entry))) as archive:
        (member,) = archive
    assert member.name == entry.path.rstrip("/")
    assert (member.mode, member.uid, member.gid, member.mtime) == (
        *(entry.mode, entry.uid, entry.gid),
        entry.mtime,
    )
    assert member.linkname == entry.link


@given(_PATHS, st.binary(max_size=2000), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_reads_what_tarfile_writes(path: str, content: bytes, style: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=style) as archive:
        info = tarfile.TarInfo("./" + path)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    buffer.seek(0)
    ((entry, data),) = [(entry, body.read()) for entry, body in tar.read_entries(buffer)]
    assert (entry.path, entry.kind, data) == (path, "file", content)


def test_an_unread_body_is_skipped() -> None:
    first, second = Entry("a", "file", 0o644, size=1000), Entry("b", "file", 0o644, size=1)
    data = tar.encode_header(first) + bytes(1024) + tar.encode_header(second) + b"x" + bytes(511)
    assert read_all(data) == [first, second]


@given(st.binary(max_size=4000))
def test_any_bytes_return_entries_or_raise_format_error(data: bytes) -> None:
    try:
        read_all(data)
    except FormatError:
        pass


@given(st.data())
def test_any_damage_returns_entries_or_raises_format_error(data: st.DataObject) -> None:
    archive_bytes = bytearray(
        make_archive(Entry("usr/bin/x", "symlink", 0o777, link="y" * 120), Entry("a", "dir", 0o755))
    )
    for _ in range(data.draw(st.integers(1, 5))):
        archive_bytes[data.draw(st.integers(0, len(archive_bytes) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_all(bytes(archive_bytes))
    except FormatError:
        pass


def _with_type(flag: bytes) -> bytes:
    return _with_field(156, flag)


def _with_field(offset: int, value: bytes) -> bytes:
    """Return a header with another value in one field, and the right checksum."""
    block = bytearray(tar.encode_header(Entry("x", "file", 0o644)))
    block[offset : offset + len(value)] = value
    block[148:156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 256)
    return bytes(block)


def _with_record(key: str, value: bytes) -> bytes:
    """Return the extended header with one PAX record, without the header that it extends."""
    body = paxrecords.encode_records({key: value})
    header = bytearray(_with_field(124, b"%011o\0" % len(body)))
    header[156:157] = b"x"
    header[148:156] = b"%06o\0 " % (sum(header) - sum(header[148:156]) + 256)
    return bytes(header) + body + bytes(tar.padding_size(len(body)))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (make_archive(Entry("../etc/passwd", "symlink", 0o777, link="x")), "is outside the root"),
        (make_archive(Entry("a/../../b", "dir", 0o755)), "is outside the root"),
        (make_archive(Entry("a", "hardlink", 0o644, link="../x")), "is outside the root"),
        (_with_type(b"g"), "PAX global header"),
        (_with_type(b"S"), "sparse file"),
        (_with_type(b"Z"), "unknown type"),
        (tar.encode_header(Entry("x", "file", 0o644, size=10)) + b"1234", "truncated in a file"),
        (tar.encode_header(Entry("x", "file", 0o644, size=1 << 51)), "not a valid number"),
        (tar.encode_header(Entry("x", "dir", 0o755))[:300], "truncated in a header"),
        (b"\1" * 512, "checksum"),
        (_with_field(124, b"0000001_0\0"), "instead of a number"),
        (_with_field(124, b"       0o17\0"), "instead of a number"),
        (_with_field(108, b"     -1\0"), "instead of a number"),
        (_with_field(108, b"     19\0"), "instead of a number"),
        (_with_field(136, b"\xff\x80" + bytes(10)), "too large"),
        (_with_record("mtime", b"--5") + _with_type(b"0"), "not a valid number"),
        (_with_record("mtime", b"-") + _with_type(b"0"), "not a valid number"),
        (_with_record("uid", b"1_0") + _with_type(b"0"), "not a valid number"),
        (_with_record("size", b"-1") + _with_type(b"0"), "negative size or owner"),
        (_with_record("GNU.sparse.major", b"1") + _with_type(b"0"), "sparse file"),
    ],
)
def test_refuses_hostile_archives(data: bytes, sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence):
        read_all(data)


def test_global_headers_are_skipped_on_request() -> None:
    body = b"52 comment=0123456789012345678901234567890123456789\n"
    header = bytearray(tar.encode_header(Entry("pax_global_header", "file", 0o666, size=len(body))))
    header[156:157] = b"g"
    header[148:156] = b"%06o\0 " % (sum(header) - sum(header[148:156]) + 256)
    data = bytes(header) + body + bytes(tar.padding_size(len(body))) + make_archive(Entry("x", "file", 0o644))
    assert [entry.path for entry, _ in tar.read_entries(io.BytesIO(data), skip_global_headers=True)] == ["x"]
    with pytest.raises(FormatError, match="PAX global header"):
        read_all(data)


def test_headers_never_change() -> None:
    """These bytes are in digests: a change here is a new format number."""
    header = tar.encode_header(Entry("usr/bin/env", "file", 0o755, mtime=1700000000, size=42))
    assert header[:12] == b"usr/bin/env\0"
    assert header[100:157].hex() == (
        "3030303037353500"
        "30303030303030003030303030303000"
        "303030303030303030353200"
        "313435323437373034303000"
        "3031313334330020"
        "30"
    ), header[100:157].hex()
