"""The command ``pumice files``; its expected output is in ``tests/golden/files``."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.formats import platforms
from pumice.formats.oci import Platform
from tests.support import handmade, locations
from tests.support.handmade import AMD64, ImageContents, file

GOLDEN = Path(__file__).parents[1] / "golden" / "files"

SMALL = dataclasses.replace(handmade.small(), compression="plain")
"""Without compression, because the golden texts have digests and zlib is not the same everywhere."""


@pytest.fixture(autouse=True)
def _images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    locations.write(handmade.image(SMALL), "oci-archive:small", version="1.0")


@pytest.mark.parametrize(
    ("arguments", "golden"),
    [
        ((), "path.txt"),
        (("--sort", "size"), "size.txt"),
        (("--sort", "package"), "package.txt"),
        (("--tree",), "tree.txt"),
        (("--tree", "--sort", "size"), "tree-size.txt"),
        (("--by-package",), "by-package.txt"),
        (("--format", "json"), "path.json"),
        (("--by-package", "--format", "json"), "by-package.json"),
    ],
)
def test_files_prints_the_documented_formats(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], golden: str
) -> None:
    for _ in ("first", "again"):  # the second time from the cache
        assert main(["files", "oci-archive:small", *arguments]) == 0
        assert capsys.readouterr() == ((GOLDEN / golden).read_text(), "")


def test_of_several_platforms_that_of_this_machine_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    this_platform = platforms.from_machine(os.uname().machine)
    image = handmade.index(
        {Platform("vax"): ImageContents([[file("vax")]]), this_platform: ImageContents([[file("here")]])}
    )
    locations.write(image, "oci:two", version="1.0")
    assert main(["files", "oci:two"]) == 0
    assert "/here\n" in capsys.readouterr().out
    assert main(["files", "oci:two", "--platform", "linux/vax"]) == 0
    assert "/vax\n" in capsys.readouterr().out


def test_a_platform_must_be_chosen_if_none_matches_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    image = handmade.index({Platform(name): ImageContents([[file(name)]]) for name in ("vax", "pdp")})
    locations.write(image, "oci:two", version="1.0")
    assert main(["files", "oci:two"]) == 10
    assert capsys.readouterr().err == (
        "error: the image is for 2 platforms, and the command needs one\n"
        "  hint: choose one with --platform: linux/vax, linux/pdp\n"
    )


def test_an_empty_image_has_no_files(capsys: pytest.CaptureFixture[str]) -> None:
    locations.write(handmade.image(ImageContents([]), platform=AMD64), "oci:empty", version="1.0")
    for arguments in ([], ["--tree"], ["--by-package"]):
        assert main(["files", "oci:empty", *arguments]) == 0
    assert capsys.readouterr().err == ""


def test_tree_and_by_package_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["files", "oci-archive:small", "--tree", "--by-package"]) == 2
    assert "cannot use " in capsys.readouterr().err
