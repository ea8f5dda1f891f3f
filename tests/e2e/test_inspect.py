"""The command ``pumice inspect``; its expected output is in ``tests/golden/inspect``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.formats.tar import Entry
from tests.support import handmade, locations
from tests.support.handmade import AMD64, ARM64, ImageContents, file

GOLDEN = Path(__file__).parents[1] / "golden" / "inspect"

SMALL = dataclasses.replace(handmade.small(), compression="plain")
"""Without compression, because the golden texts have digests and zlib is not the same everywhere."""


@pytest.fixture(autouse=True)
def _images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    two = handmade.index({AMD64: SMALL, ARM64: ImageContents([[file("arm")]], compression="plain")})
    for name, image in (("small", handmade.image(SMALL)), ("two", two)):
        locations.write(image, f"oci:{name}", version="1.0")


@pytest.mark.parametrize(
    ("arguments", "golden"),
    [
        (("oci:small",), "small.txt"),
        (("oci:small", "--format", "json"), "small.json"),
        (("oci:two",), "two.txt"),
        (("oci:two:1.0", "--platform", "linux/arm64"), "arm64.txt"),
    ],
)
def test_inspect_prints_the_documented_formats(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], golden: str
) -> None:
    assert main(["inspect", *arguments]) == 0
    assert capsys.readouterr() == ((GOLDEN / golden).read_text(), "")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((), 2, "error: REF is missing\n  hint: usage: pumice inspect [OPTION...] REF\n"),
        (("oci:none",), 10, "error: none: no such directory\n  hint: check the path\n"),
        (("oci:small:2",), 10, "error: small: the layout has no tag '2'\n  hint: the tags are 1.0\n"),
        (
            ("small",),
            2,
            (
                "error: 'small' is a directory with an OCI layout, not the name of an image\n"
                "  hint: write oci:small\n"
            ),
        ),
        (
            ("oci:small", "--platform", "linux/arm64"),
            10,
            "error: the image is not for linux/arm64\n  hint: it is for linux/amd64\n",
        ),
        (
            ("oci:small", "--format", "jsn"),
            2,
            "error: --format cannot be 'jsn'\n  hint: did you mean 'json'?\n",
        ),
    ],
)
def test_inspect_reports_errors_in_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, text: str
) -> None:
    assert main(["inspect", *arguments]) == code
    assert capsys.readouterr() == ("", text)


def test_inspect_escapes_terminal_sequences_of_an_image(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[31mred\x1b]0;title\x07\r\nnew line"
    layer = [
        file(f"tmp/{evil}", b"", 0o4777),
        (Entry(path=f"l{evil}", kind="symlink", mode=0o777, link=evil), b""),
        file("etc/passwd", f"{evil}:x:0:".encode()),
        file("etc/os-release", f"PRETTY_NAME={evil}".encode()),
    ]
    run = SMALL.run
    contents = ImageContents([layer], "gzip", run, {evil: evil}, (evil,))
    locations.write(handmade.image(contents), "oci:evil", version="1.0")
    for command in (["inspect"], ["files"], ["files", "--tree"], ["files", "--by-package"]):
        assert main([*command, "oci:evil"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert "red" in out or "--by-package" in command
        assert all(line.isprintable() for line in out.split("\n"))
    for command in (["inspect"], ["files"]):
        assert main([*command, "oci:evil", "--format", "json"]) == 0
        out = capsys.readouterr().out
        assert out.isascii()
        assert json.loads(out)
