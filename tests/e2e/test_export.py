"""``pumice export``."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from pumice.cli.main import main

Out = pytest.CaptureFixture[bytes]


def run(capsysbinary: Out, *arguments: str, code: int = 0) -> tuple[bytes, str]:
    assert main(arguments) == code
    out, err = capsysbinary.readouterr()
    return out, err.decode()


def test_the_file_is_that_of_tar(host: str, capsysbinary: Out, tmp_path: Path) -> None:
    run(capsysbinary, "copy", "--only-image", "example.com/hello:1.0", "tar:same.tar")
    expected = (tmp_path / "same.tar").read_bytes()
    assert run(capsysbinary, "export", "example.com/hello:1.0", "-o", "a.tar", "--progress", "none") == (
        b"",
        "",
    )
    run(capsysbinary, "export", "example.com/hello:1.0", "b.tar")
    out, _ = run(capsysbinary, "export", "example.com/hello:1.0")
    assert [out, (tmp_path / "a.tar").read_bytes(), (tmp_path / "b.tar").read_bytes()] == [expected] * 3
    with tarfile.open("a.tar") as archive:
        file = archive.extractfile("./etc/motd" if "./etc/motd" in archive.getnames() else "etc/motd")
        assert file
        assert file.read() == b"hello"


def test_two_files_are_refused(host: str, capsysbinary: Out, tmp_path: Path) -> None:
    assert run(capsysbinary, "export", "example.com/hello:1.0", "a.tar", "-o", "b.tar", code=2)[1] == (
        "error: the output file is given twice\n  hint: pass FILE or --output FILE\n"
    )
    assert not list(tmp_path.glob("*.tar"))
