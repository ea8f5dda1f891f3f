"""``pumice convert``."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice.cli.main import main
from tests.support import aci
from tests.support import locations as support
from tests.support.handmade import AMD64, ARM64, ImageContents, file, folder, image, index

Out = pytest.CaptureFixture[str]
IMAGE = "example.com/hello:1.0"


def run(capsys: Out, *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    out, err = capsys.readouterr()
    return out, err


@pytest.fixture
def layout(host: str) -> str:
    """Return an image without a name."""
    support.write(image(ImageContents([[folder("etc"), file("etc/motd", b"hello")]])), "oci:layout:1.0")
    return "oci:layout"


@pytest.mark.usefixtures("host")
def test_an_image_of_the_store_becomes_a_file_and_comes_back(capsys: Out) -> None:
    out, err = run(capsys, "convert", IMAGE, "aci:hello.aci")
    assert out.startswith("sha256:")
    assert "converted" in err
    assert run(capsys, "aci", "validate", "hello.aci")[0].startswith(
        "hello.aci: valid App Container image, sha512-"
    )
    run(capsys, "convert", "aci:hello.aci", "oci:back", "--quiet")
    assert "/etc/motd" in run(capsys, "files", "oci:back")[0]
    out, _ = run(capsys, "diff", IMAGE, "oci:back", code=1)
    assert "motd" not in out


@pytest.mark.parametrize("compression", ["gzip", "xz", "none"])
def test_every_compression_is_read_again(capsys: Out, layout: str, compression: str) -> None:
    arguments = ("--name", "example.com/a", "--compression", compression, "--quiet")
    run(capsys, "convert", *arguments, layout, "aci:a.aci")
    run(capsys, "aci", "validate", "a.aci")
    starts = {"gzip": b"\x1f\x8b", "xz": b"\xfd7zXZ", "none": b"manifest"}
    assert Path("a.aci").read_bytes().startswith(starts[compression])


def test_zstd_needs_an_option_in_both_directions(capsys: Out, layout: str) -> None:
    zstd = ("convert", "--name", "example.com/a", "--compression", "zstd", layout, "aci:a.aci")
    assert "App Container does not have zstd" in run(capsys, *zstd, code=2)[1]
    assert not Path("a.aci").exists()
    run(capsys, *zstd, "--non-standard")
    assert "pumice convert --non-standard" in run(capsys, "convert", "aci:a.aci", "oci:b", code=8)[1]
    run(capsys, "convert", "--non-standard", "aci:a.aci", "oci:b")


def test_a_name_that_does_not_fit_is_an_error_with_the_option(capsys: Out, layout: str) -> None:
    assert "--name NAME" in run(capsys, "convert", layout, "aci:a.aci", code=2)[1]
    assert (
        "'A' is not a name of App Container"
        in run(capsys, "convert", "--name", "A", layout, "aci:a.aci", code=2)[1]
    )
    assert not Path("a.aci").exists()


@pytest.mark.usefixtures("host")
def test_one_platform_is_chosen(capsys: Out) -> None:
    contents = ImageContents([[file("a")]])
    support.write(index({AMD64: contents, ARM64: contents}), "oci:two:1.0", name="example.com/two")
    assert "holds one platform" in run(capsys, "convert", "oci:two", "aci:a.aci", code=10)[1]
    run(capsys, "convert", "--platform", "linux/arm64", "--name", "example.com/two", "oci:two", "aci:a.aci")
    assert '"aarch64"' in run(capsys, "aci", "cat-manifest", "a.aci")[0]


@pytest.mark.usefixtures("host")
def test_two_images_of_one_format_are_copied_not_converted(capsys: Out) -> None:
    assert "use 'pumice copy'" in run(capsys, "convert", IMAGE, "oci:a", code=2)[1]


@pytest.mark.usefixtures("host")
def test_dependencies_must_be_rendered_first(capsys: Out, tmp_path: Path) -> None:
    aci.image(tmp_path / "a.aci", [folder("")], dependencies=[{"imageName": "example.com/b"}])
    err = run(capsys, "convert", "aci:a.aci", "oci:a", code=10)[1]
    assert "depends on other images" in err
    assert "pumice aci render" in err


@pytest.mark.usefixtures("host")
def test_an_unsigned_image_does_not_enter_the_store(capsys: Out, tmp_path: Path) -> None:
    aci.image(tmp_path / "a.aci", [folder(""), file("a")])
    run(capsys, "convert", "aci:a.aci", "store:example.com/hello:2.0", code=7)
    run(capsys, "convert", "--allow-unsigned", "aci:a.aci", "store:example.com/hello:2.0")
    assert "/a" in run(capsys, "files", "example.com/hello:2.0")[0]
