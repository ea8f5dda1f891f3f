from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import ImageError, PumiceError, UsageError
from pumice.image.transports import layout
from pumice.image.transports.destination_checks import check_destinations
from pumice.image.transports.locations import (
    DOCKER_ARCHIVE,
    LAYOUT,
    LAYOUT_ARCHIVE,
    REGISTRY,
    ROOTFS_DIRECTORY,
    ROOTFS_TAR,
    STORE,
    Address,
    Location,
)
from pumice.image.transports.references import parse_destination, parse_source
from pumice.registry import reference
from tests.support import handmade, locations
from tests.support.handmade import AMD64, ARM64, ImageContents, file

SYNTAXES = (
    "oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG], aci:FILE, tar:FILE, dir:DIR, "
    "store:NAME[:VERSION], docker://HOST/NAME[:TAG]"
)
TAGS = "tags are letters and digits joined by one of -._: and a path has no colon"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oci:out", Address(LAYOUT, "out")),
        ("oci:out:v1", Address(LAYOUT, "out", "v1")),
        ("oci-archive:/a/b.tar:1.0", Address(LAYOUT_ARCHIVE, "/a/b.tar", "1.0")),
        ("oci-archive:-:1.0", Address(LAYOUT_ARCHIVE, "-", "1.0")),
        ("docker-archive:f:example.com/a:1", Address(DOCKER_ARCHIVE, "f", "example.com/a:1")),
        ("tar:-", Address(ROOTFS_TAR, "-")),
        ("dir:root", Address(ROOTFS_DIRECTORY, "root")),
        ("store:example.com/a:1", Address(STORE, "example.com/a:1")),
        ("docker://localhost:5000/a:1", Address(REGISTRY, "localhost:5000/a:1")),
    ],
)
def test_destinations_are_parsed_and_formatted(text: str, expected: Address) -> None:
    assert parse_destination(text).address == expected
    assert str(expected) == text


@pytest.mark.parametrize("text", ["example.com/a:1", "a", "sha256:" + "0" * 64, "oic:out", "docker:1"])
def test_a_source_without_a_scheme_is_in_the_store(text: str) -> None:
    assert parse_source(text).address == Address(STORE, text)
    assert parse_source(f"store:{text}").address == Address(STORE, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "out",
            (
                "destination 'out' has no transport\n"
                "  hint: write oci:out for a directory, or store:out for the local store"
            ),
        ),
        ("a.tar", "destination 'a.tar' has no transport\n  hint: write oci-archive:a.tar"),
        (
            "",
            (
                "destination '' has no transport\n"
                "  hint: write oci:DIR for a directory, or store:NAME for the local store"
            ),
        ),
        ("oic:out", "unknown transport 'oic' in destination 'oic:out'\n  hint: did you mean oci:?"),
        (
            "dokcer://x",
            "unknown transport 'dokcer' in destination 'dokcer://x'\n  hint: did you mean docker://?",
        ),
        ("ftp://x", f"unknown transport 'ftp' in destination 'ftp://x'\n  hint: use one of {SYNTAXES}"),
        ("oci:", "location 'oci:' has no directory\n  hint: write oci:DIR[:TAG]"),
        ("tar:a:b", "location 'tar:a:b' has a tag, but tar: has no tags\n  hint: write tar:FILE"),
        ("oci:a:b c", "oci:a:b c: invalid tag 'b c'\n  hint: " + TAGS),
        (
            "oci:-",
            "cannot write 'oci:-' to standard output: it is a directory\n  hint: use oci-archive:-",
        ),
    ],
)
def test_an_invalid_destination_is_refused_with_a_hint(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_destination(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("tag", ["1", "v1.0-2", "a--b", "a/b:1@x+y", "x" * 255])
def test_tags_of_the_specification_are_accepted(tag: str) -> None:
    assert parse_destination(f"oci:d:{tag}").address.tag == tag


@pytest.mark.parametrize("tag", ["", "-a", "a-", "a---b", "a..b", "a/", "/a", "a~b", "ä", "x" * 256, "a\n"])
def test_other_tags_are_refused(tag: str) -> None:
    with pytest.raises(UsageError, match="invalid tag"):
        parse_destination(f"oci:d:{tag}")


@given(st.text(max_size=30) | st.text("oci:-/ab.\0", max_size=12).map(lambda tail: f"oci:{tail}"))
def test_any_text_is_a_destination_or_a_usage_error(text: str) -> None:
    try:
        address = parse_destination(text).address
    except UsageError:
        return
    assert parse_destination(str(address)).address == address


def test_the_registry_client_knows_the_same_scheme() -> None:
    assert REGISTRY.scheme == reference.SCHEME


TWO = handmade.index({AMD64: ImageContents([[file("amd")]]), ARM64: ImageContents([[file("arm")]])})


@pytest.mark.parametrize("destination", ["docker-archive:-", "tar:-", "dir:never"])
def test_locations_of_one_platform_refuse_two(destination: str) -> None:
    with pytest.raises(ImageError) as caught:
        locations.write(TWO, destination, stdout=io.BytesIO())
    transport = destination.partition(":")[0]
    assert str(caught.value) == (
        f"{destination}: a {transport} holds one platform, but the image has 2\n"
        "  hint: choose one with --platform: linux/amd64, linux/arm64/v8, "
        "or write an oci: layout, which holds all"
    )


def test_one_platform_of_an_image_can_be_written_anywhere(tmp_path: Path) -> None:
    locations.write(TWO, f"oci:{tmp_path}/out", version="1", platform=ARM64)
    assert layout.read_layout(tmp_path / "out").root.digest == TWO.select(ARM64).root.digest
    out = io.BytesIO()
    locations.write(TWO, "tar:-", platform=ARM64, stdout=out)
    assert b"arm\0" in out.getvalue()
    assert b"amd\0" not in out.getvalue()


def test_the_version_is_the_default_tag(tmp_path: Path) -> None:
    image = handmade.image(ImageContents([[file("a")]]))
    locations.write(image, f"oci:{tmp_path}/out", version="1.10")
    assert layout.read_layout(tmp_path / "out", "1.10").root.digest == image.root.digest
    with pytest.raises(UsageError, match=r"the version '1~rc' is not a valid tag"):
        locations.write(image, f"oci:{tmp_path}/two", version="1~rc")
    with pytest.raises(UsageError, match="needs a tag"):
        locations.write(image, f"oci:{tmp_path}/two")
    assert not (tmp_path / "two").exists()


def test_standard_output_must_exist_and_not_be_a_terminal() -> None:
    image = handmade.image(ImageContents([[file("a")]]))
    with pytest.raises(UsageError, match="cannot be a destination here"):
        locations.write(image, "tar:-")

    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    with pytest.raises(UsageError, match="cannot write an image to a terminal"):
        locations.write(image, "tar:-", stdout=Terminal())


def parse_all(*texts: str) -> list[Location]:
    return [parse_destination(text) for text in texts]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["tar:-", "oci-archive:-"], "only one destination can be standard output"),
        (["oci:a", "tar:b"], "a tar holds one platform, but the image has 2"),
        (["docker-archive:a"], "a docker-archive holds one platform"),
    ],
)
def test_impossible_destinations_are_refused_before_the_build(texts: list[str], message: str) -> None:
    with pytest.raises(PumiceError, match=message):
        check_destinations(parse_all(*texts), name="x", version="1", platforms=[AMD64, ARM64])


def test_tags_and_names_are_checked_before_the_build() -> None:
    for text in ("oci:a", "oci-archive:a", "docker://localhost/a"):
        with pytest.raises(UsageError, match="is not a valid tag"):
            check_destinations(parse_all(text), name="x", version="1~rc", platforms=[AMD64])
        check_destinations(parse_all(f"{text}:rc"), name="x", version="1~rc", platforms=[AMD64, ARM64])
    with pytest.raises(UsageError, match="not an image name that Docker accepts"):
        check_destinations(parse_all("docker-archive:a"), name="X", version="1", platforms=[AMD64])
    check_destinations(parse_all("tar:a", "dir:b"), name="X", version="~", platforms=[AMD64])


@pytest.mark.parametrize(
    ("text", "version", "described", "name"),
    [
        ("docker://localhost/a", "1.0", "docker://localhost/a:1.0", "localhost/a:1.0"),
        ("docker://localhost/a:2", "1.0", "docker://localhost/a:2", "localhost/a:2"),
        ("store:a", "1.0", "store:a:1.0", "a"),
        ("oci:a", "1.0", "oci:a", ""),
    ],
)
def test_a_location_describes_what_an_image_there_is_called(
    text: str, version: str, described: str, name: str
) -> None:
    description = parse_destination(text).describe(version)
    assert (description.text, description.name) == (described, name)


def test_a_digest_is_not_a_name() -> None:
    digest = "sha256:" + "0" * 64
    for text in (f"docker://localhost/a@{digest}", digest, f"store:{digest}"):
        assert parse_source(text).describe().name == ""


def test_errors_have_their_exit_codes() -> None:
    assert issubclass(UsageError, PumiceError)
    assert (UsageError.exit_code, ImageError.exit_code) == (2, 10)
