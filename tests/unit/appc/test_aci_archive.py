"""Archives of App Container images: what is read, what is refused, and that writing is reproducible."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.appc.aci_archive import AciReader, AciWriter
from pumice.appc.streams import COMPRESSIONS, Compression
from pumice.errors import FormatError
from pumice.formats import tar
from pumice.formats.tar import Entry
from tests.support import aci, handmade
from tests.support.aci import ROOT, archive, file, manifest_file

GOOD = archive(manifest_file(), ROOT, file("rootfs/a", b"x" * 1000), Entry("rootfs/d", "dir", 0o700))


def read(data: bytes, *, non_standard: bool = False) -> tuple[list[Entry], AciReader]:
    with AciReader(io.BytesIO(data), lambda _: len(data), non_standard=non_standard) as reader:
        return [entry for entry, _ in reader.entries()], reader


@pytest.mark.parametrize("name", aci.COMPRESSIONS)
def test_the_id_is_that_of_the_uncompressed_archive(name: str) -> None:
    entries, reader = read(aci.COMPRESSIONS[name](GOOD))
    assert [entry.path for entry in entries] == ["", "a", "d"]
    assert reader.manifest == aci.manifest()
    assert reader.image_id == "sha512-" + hashlib.sha512(GOOD).hexdigest()


@pytest.mark.parametrize(
    "data",
    [
        archive(ROOT, file("rootfs/a"), manifest_file()),
        archive(Entry("", "dir", 0o755), manifest_file(), ROOT),
        archive(manifest_file(), ROOT, end=tar.END_OF_ARCHIVE + bytes(10240)),
        archive(manifest_file(), file("rootfs/a"), ROOT),
        archive(
            manifest_file(), ROOT, file("rootfs/a"), Entry("rootfs/b", "hardlink", 0o644, link="rootfs/a")
        ),
        archive(manifest_file(), ROOT, Entry("rootfs/dev", "char", 0o644, device=(1, 3))),
    ],
    ids=["manifest last", "a root", "zeros at the end", "root last", "hard link", "device"],
)
def test_unusual_archives_are_read(data: bytes) -> None:
    _, reader = read(data)
    assert reader.manifest == aci.manifest()


def with_type(entry: Entry, flag: bytes) -> bytes:
    """Return the header of an entry with another type."""
    block = bytearray(tar.encode_header(entry))
    block[156:157] = flag
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not an App Container image"),
    "no tar": (b"hello" * 200, "not an App Container image"),
    "a sparse file": (archive(manifest_file(), ROOT, end=with_type(file("rootfs/a")[0], b"S")), "sparse"),
    "an unknown type": (archive(manifest_file(), ROOT, end=with_type(file("rootfs/a")[0], b"V")), "unknown"),
    "a wrong checksum": (archive(manifest_file(), ROOT, end=b"x" * 512), "checksum"),
    "a device as manifest": (archive(Entry("manifest", "char", 0o644), ROOT), "manifest is a char"),
    "a directory as manifest": (archive(Entry("manifest", "dir", 0o755), ROOT), "manifest is a dir"),
    "the manifest by another name": (archive(manifest_file(), file("./manifest"), ROOT), "twice"),
    "an absolute path": (archive(manifest_file(), ROOT, file("/etc/passwd")), "outside of rootfs/"),
    "a NUL in a path": (archive(manifest_file(), ROOT, file("rootfs/\xe9\0b")), "contains a NUL"),
    "a NUL in a link": (
        archive(manifest_file(), ROOT, Entry("rootfs/a", "symlink", 0o777, link="\xe9\0b")),
        "without a target",
    ),
    "a hard link to itself": (
        archive(manifest_file(), ROOT, Entry("rootfs/a", "hardlink", 0o644, link="rootfs/a")),
        "not a file before it",
    ),
    "a long link": (
        archive(manifest_file(), ROOT, Entry("rootfs/a", "symlink", 0o777, link="a" * 5000)),
        "too long",
    ),
    "no tar inside": (gzip.compress(b"hello" * 200), "checksum"),
    "only an end": (gzip.compress(tar.END_OF_ARCHIVE), "has no manifest"),
    "no manifest": (archive(ROOT), "has no manifest"),
    "no root": (archive(manifest_file()), "has no directory rootfs"),
    "an implied root": (archive(manifest_file(), file("rootfs/a")), "has no directory rootfs"),
    "a neighbor": (archive(manifest_file(), ROOT, file("rootfs-evil/x")), "outside of rootfs/"),
    "another file": (archive(manifest_file(), ROOT, file("etc/passwd")), "outside of rootfs/"),
    "two manifests": (archive(manifest_file(), manifest_file(), ROOT), "in the archive twice"),
    "a manifest link": (
        archive(Entry("manifest", "symlink", 0o777, link="/etc/passwd"), ROOT),
        "manifest is a symlink",
    ),
    "a root link": (
        archive(manifest_file(), Entry("rootfs", "symlink", 0o777, link="/")),
        "rootfs.* is a symlink",
    ),
    "a file as root": (archive(manifest_file(), file("rootfs")), "rootfs.* is a file"),
    "a file twice": (archive(manifest_file(), ROOT, file("rootfs/a"), file("rootfs/a")), "twice"),
    "a directory twice": (
        archive(manifest_file(), ROOT, Entry("rootfs/a", "dir", 0o755), Entry("rootfs/a", "dir", 0o777)),
        "twice",
    ),
    "below a link": (
        archive(manifest_file(), ROOT, Entry("rootfs/a", "symlink", 0o777, link="/"), file("rootfs/a/b")),
        "not a directory",
    ),
    "below a file": (
        archive(manifest_file(), ROOT, file("rootfs/a"), file("rootfs/a/b/c")),
        "not a directory",
    ),
    "a link after its files": (
        archive(manifest_file(), ROOT, file("rootfs/a/b"), Entry("rootfs/a", "symlink", 0o777, link="/")),
        "twice",
    ),
    "a parent": (archive(manifest_file(), ROOT, file("rootfs/../../a")), "outside the root"),
    "a hard link out": (
        archive(manifest_file(), ROOT, Entry("rootfs/a", "hardlink", 0o644, link="etc/passwd")),
        "outside of rootfs/",
    ),
    "a hard link to the manifest": (
        archive(manifest_file(), ROOT, Entry("rootfs/a", "hardlink", 0o644, link="manifest")),
        "outside of rootfs/",
    ),
    "a hard link to nothing": (
        archive(
            manifest_file(), ROOT, Entry("rootfs/a", "hardlink", 0o644, link="rootfs/b"), file("rootfs/b")
        ),
        "not a file before it",
    ),
    "a hard link to a directory": (
        archive(manifest_file(), ROOT, Entry("rootfs/a", "hardlink", 0o644, link="rootfs")),
        "outside of rootfs/|not a file",
    ),
    "a link without a target": (
        archive(manifest_file(), ROOT, Entry("rootfs/a", "symlink", 0o777)),
        "without a target",
    ),
    "too deep": (archive(manifest_file(), ROOT, file("rootfs/" + "a/" * 300 + "a")), "too deep"),
    "too long": (archive(manifest_file(), ROOT, file("rootfs/" + "a" * 5000)), "too long"),
    "no end mark": (archive(manifest_file(), ROOT, end=b""), "no end mark"),
    "data after the end": (
        archive(manifest_file(), ROOT, end=tar.END_OF_ARCHIVE + b"x" * 512),
        "after its end mark",
    ),
    "a truncated file": (GOOD[:2400], "truncated"),
    "truncated gzip": (gzip.compress(GOOD)[:-20], "truncated"),
    "damaged gzip": (gzip.compress(GOOD)[:60] + b"\xff" * 20 + gzip.compress(GOOD)[80:], "damaged|truncated"),
    "a large manifest": (archive(manifest_file(b" " * (5 << 20)), ROOT), "larger than 4 MiB"),
    "encrypted": (b"\x8c\x0d\x04\x09" + bytes(600), "encrypted"),
    "encrypted, armored": (b"-----BEGIN PGP MESSAGE-----\n" + b"a" * 600, "encrypted"),
    "zstd": (handmade.zstd(GOOD), "zstd"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused(name: str) -> None:
    data, sentence = HOSTILE[name]
    with pytest.raises(FormatError, match=sentence):
        read(data)


def test_data_that_expands_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pumice.appc.aci_archive._FREE_EXPANSION", 1 << 20)
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = archive(manifest_file(), ROOT, end=b"") + tar.encode_header(
        Entry("rootfs/a", "file", 0o644, size=1 << 40)
    )
    data = compressor.compress(start) + compressor.compress(bytes(64 << 20)) + compressor.flush()
    with pytest.raises(FormatError, match="more than the allowed size"):
        read(data)


@pytest.mark.parametrize("limit", ["_MAX_ENTRIES", "_MAX_NAMES"])
def test_archives_with_too_many_names_are_refused(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"pumice.appc.aci_archive.{limit}", 500)
    files = [file(f"rootfs/{number}", xattrs={"user.a": b"x"}) for number in range(501)]
    with pytest.raises(FormatError, match="too many files, or too long names"):
        read(archive(manifest_file(), ROOT, *files))


def test_the_manifest_is_read_without_the_rest() -> None:
    data = GOOD[: 512 * 3]
    with AciReader(io.BytesIO(data), lambda _: len(data)) as reader:
        assert reader.read_manifest() == aci.manifest()


@given(st.binary(max_size=2000))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read(data)
    except FormatError:
        pass


@given(st.data())
def test_any_damage_is_read_or_refused(draw: st.DataObject) -> None:
    data = bytearray(GOOD)
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        read(bytes(data))
    except FormatError:
        pass


def write(compression: Compression, size: int = 3_000_000) -> tuple[bytes, str]:
    output = bytearray()
    content = handmade.random_bytes(size, "a")
    with AciWriter(aci.manifest(), compression, output.extend) as writer:
        writer.add(Entry("", "dir", 0o755))
        writer.add(Entry("a", "file", 0o644, size=size), io.BytesIO(content))
        writer.add(Entry("b", "hardlink", 0o644, link="a"))
        image_id = writer.finish()
    return bytes(output), image_id


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_is_written_is_read_and_always_the_same(compression: Compression) -> None:
    data, image_id = write(compression)
    assert (data, image_id) == write(compression)
    entries, reader = read(data, non_standard=True)
    assert reader.image_id == image_id
    assert [(entry.path, entry.kind, entry.link) for entry in entries] == [
        ("", "dir", ""),
        ("a", "file", ""),
        ("b", "hardlink", "a"),
    ]


def test_compression_does_not_change_the_id() -> None:
    assert len({write(compression)[1] for compression in COMPRESSIONS}) == 1


def test_a_file_that_is_shorter_than_its_header_is_refused() -> None:
    with (
        AciWriter(aci.manifest(), "gzip", bytearray().extend) as writer,
        pytest.raises(FormatError, match="shorter"),
    ):
        writer.add(Entry("a", "file", 0o644, size=10), io.BytesIO(b"x"))


def test_an_error_of_the_output_is_raised_and_ends_the_threads() -> None:
    def fail(_: bytes | bytearray | memoryview) -> None:
        raise OSError("the disk is full")

    entry = Entry("a", "file", 0o644, size=64 << 20)
    with pytest.raises(OSError, match="disk is full"), AciWriter(aci.manifest(), "gzip", fail) as writer:
        writer.add(entry, io.BytesIO(bytes(entry.size)))
        writer.finish()
