"""Packages: real ones are read as they are, hostile ones end in one sentence."""

from __future__ import annotations

import io
import lzma
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError
from pumice.formats import deb, tar
from tests.support.deb import Compression, Deb, Item, text

_HELLO = Deb(
    "hello",
    fields={"Depends": "libc6 (>= 2.34)", "Description": "says hello\n It says it twice."},
    files=[text("etc/hello.conf", "x=1\n"), text("usr/bin/hello", "#!/bin/sh\n", 0o755)],
    conffiles=["/etc/hello.conf"],
    control_files={"postinst": "#!/bin/sh\nexit 0\n"},
)


@pytest.mark.parametrize("compression", ["none", "gz", "xz", "zst", "bz2", "lzma"])
def test_reads_packages_with_each_compression(compression: Compression) -> None:
    package = Deb(**{**_HELLO.__dict__, "compression": compression})
    file = io.BytesIO(package.build())
    control = deb.read_control(file)
    assert control.fields["Package"] == "hello"
    assert control.fields["Description"] == "says hello\n It says it twice."
    assert control.files["postinst"] == b"#!/bin/sh\nexit 0\n"
    assert control.files["conffiles"] == b"/etc/hello.conf\n"
    assert control.newest == package.mtime
    assert [entry.path for entry, _ in tar.read_entries(deb.open_data(file)) if entry.kind == "file"] == [
        "etc/hello.conf",
        "usr/bin/hello",
    ]


def test_reads_a_control_file_in_latin_1_with_any_case_of_field_names() -> None:
    control = b"package: old\nVERSION: 1\nArchitecture: all\nMaintainer: J\xf6rg \nDescription: caf\xc3\xa9\n"
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        member = tarfile.TarInfo("./control")
        member.size = len(control)
        archive.addfile(member, io.BytesIO(control))
    packed = _ar((b"debian-binary", b"2.0\n"), (b"control.tar", inner.getvalue()), (b"data.tar", bytes(1024)))
    fields = deb.read_control(io.BytesIO(packed)).fields
    assert fields == {
        "Package": "old", "Version": "1", "Architecture": "all", "Maintainer": "Jörg", "Description": "café"
    }  # fmt: skip


def _ar(*members: tuple[bytes, bytes]) -> bytes:
    head = b"%-16s%-12d%-6d%-6d%-8s%-10d`\n"
    body = b""
    for name, data in members:
        body += head % (name, 0, 0, 0, b"100644", len(data)) + data + b"\n" * (len(data) % 2)
    return b"!<arch>\n" + body


_GOOD = _HELLO.build()
_CONTROL = Deb("x", compression="none").build()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "ar archive"),
        (b"<html>404</html>", "ar archive"),
        (_GOOD[: len(_GOOD) // 2], "truncated in"),
        (_GOOD.replace(b"2.0\n", b"9.0\n", 1), "only 2.x"),
        (_ar((b"control.tar", b"")), "debian-binary"),
        (_ar((b"debian-binary", b"2.0\n")), "no control.tar"),
        (_ar((b"debian-binary", b"2.0\n"), (b"control.tar.rar", b"")), "unsupported compression"),
        (_ar((b"debian-binary", b"2.0\n"), (b"control.tar.xz", b"\xfd7zXZ\0" + b"!" * 99)), "damaged"),
        (_ar((b"debian-binary", b"2.0\n"), (b"control.tar", tar.END_OF_ARCHIVE)), "no control file"),
        (b"!<arch>\n" + b"x" * 60, "ar header is damaged"),
    ],
)
def test_refuses_files_that_are_not_packages(data: bytes, sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence):
        deb.read_control(io.BytesIO(data))


def test_refuses_a_compression_bomb() -> None:
    bomb = lzma.compress(bytes(300 << 20), preset=0)
    file = io.BytesIO(_ar((b"debian-binary", b"2.0\n"), (b"data.tar.xz", bomb)))
    source = deb.open_data(file)
    with pytest.raises(FormatError, match="more than the allowed size"):
        while source.read(1 << 20):
            pass


@given(st.binary(max_size=600), st.integers(0, len(_GOOD) - 1))
def test_any_damage_returns_a_package_or_raises_format_error(noise: bytes, at: int) -> None:
    data = _GOOD[:at] + noise + _GOOD[at + len(noise) :]
    try:
        file = io.BytesIO(data)
        deb.read_control(file)
        for _ in tar.read_entries(deb.open_data(file)):
            pass
    except FormatError:
        pass


def test_entries_keep_the_metadata_of_the_archive() -> None:
    file_item = Item("usr/bin/su", b"x", mode=0o4755, uid=0, gid=42, mtime=123)
    file = io.BytesIO(Deb("su", files=[file_item]).build())
    entry = next(entry for entry, _ in tar.read_entries(deb.open_data(file)) if entry.kind == "file")
    assert (entry.mode, entry.gid, entry.mtime) == (0o4755, 42, 123)
