from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import ImageError, PumiceError, UsageError
from pumice.image.transports import destination, layout
from pumice.image.transports.destination import Destination
from tests.support import handmade
from tests.support.handmade import AMD64, ARM64, Made, file

FORMS = "oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG], tar:FILE, dir:DIR"
TAGS = "tags are letters and digits joined by one of -._: and a path has no colon"

ARCHIVE = "write for example oci-archive:a.tar"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oci:out", Destination("oci", "out")),
        ("oci:out:v1", Destination("oci", "out", "v1")),
        ("oci-archive:/a/b.tar:1.0", Destination("oci-archive", "/a/b.tar", "1.0")),
        ("oci-archive:-:1.0", Destination("oci-archive", "-", "1.0")),
        ("docker-archive:f:example.com/a:1", Destination("docker-archive", "f", "example.com/a:1")),
        ("tar:-", Destination("tar", "-")),
        ("dir:root", Destination("dir", "root")),
    ],
)
def test_destinations_are_read_and_written_back(text: str, expected: Destination) -> None:
    assert destination.parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("out", "'out' does not say what kind of destination it is\n  hint: write for example oci:out"),
        ("a.tar", "'a.tar' does not say what kind of destination it is\n  hint: " + ARCHIVE),
        ("", "'' does not say what kind of destination it is\n  hint: write for example oci:"),
        ("oic:out", "'oic:out' is no destination: there is no kind 'oic'\n  hint: did you mean oci:?"),
        (
            "ftp://x",
            "'ftp://x' is no destination: there is no kind 'ftp'\n  hint: there are " + FORMS,
        ),
        ("oci:", "'oci:' names no folder\n  hint: write oci:DIR[:TAG]"),
        ("tar:a:b", "'tar:a:b' has a tag, but a tar has no place for one\n  hint: write tar:FILE"),
        (
            "oci:a:b c",
            "oci:a:b c: 'b c' is no tag\n  hint: " + TAGS,
        ),
        (
            "oci:-",
            "a folder cannot be written to standard output, as 'oci:-' asks\n  hint: use oci-archive:-",
        ),
    ],
)
def test_what_is_no_destination_is_said(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        destination.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("tag", ["1", "v1.0-2", "a--b", "a/b:1@x+y", "x" * 255])
def test_tags_of_the_specification_are_taken(tag: str) -> None:
    assert destination.parse(f"oci:d:{tag}").tag == tag


@pytest.mark.parametrize("tag", ["", "-a", "a-", "a---b", "a..b", "a/", "/a", "a~b", "ä", "x" * 256, "a\n"])
def test_tags_outside_the_specification_are_not(tag: str) -> None:
    with pytest.raises(UsageError, match="is no tag"):
        destination.parse(f"oci:d:{tag}")


@given(st.text(max_size=30) | st.text("oci:-/ab.\0", max_size=12).map(lambda tail: f"oci:{tail}"))
def test_any_text_gives_a_destination_or_a_usage_error(text: str) -> None:
    try:
        assert destination.parse(str(destination.parse(text))) == destination.parse(text)
    except UsageError:
        pass


TWO = handmade.index({AMD64: Made([[file("amd")]]), ARM64: Made([[file("arm")]])})


@pytest.mark.parametrize("place", ["docker-archive:-", "tar:-", "dir:never"])
def test_places_for_one_platform_say_so(place: str) -> None:
    with pytest.raises(ImageError) as caught:
        destination.write(TWO, destination.parse(place), stdout=io.BytesIO())
    kind = place.partition(":")[0]
    assert str(caught.value) == (
        f"{place}: a {kind} holds one platform, and the image is for 2\n"
        "  hint: choose with --platform one of linux/amd64, linux/arm64/v8, "
        "or write an oci: layout, which holds all"
    )


def test_a_platform_narrows_any_destination(tmp_path: Path) -> None:
    destination.write(TWO, destination.parse(f"oci:{tmp_path}/out"), version="1", platform=ARM64)
    assert layout.read(tmp_path / "out").root.digest == TWO.select(ARM64).root.digest
    out = io.BytesIO()
    destination.write(TWO, destination.parse("tar:-"), platform=ARM64, stdout=out)
    assert b"arm\0" in out.getvalue()
    assert b"amd\0" not in out.getvalue()


def test_the_version_is_the_tag_where_none_is_given(tmp_path: Path) -> None:
    image = handmade.image(Made([[file("a")]]))
    destination.write(image, destination.parse(f"oci:{tmp_path}/out"), version="1.10")
    assert layout.read(tmp_path / "out", "1.10").root.digest == image.root.digest
    with pytest.raises(UsageError, match=r"the version '1~rc' cannot be a tag"):
        destination.write(image, destination.parse(f"oci:{tmp_path}/two"), version="1~rc")
    with pytest.raises(UsageError, match="needs a tag here"):
        destination.write(image, destination.parse(f"oci:{tmp_path}/two"))
    assert not (tmp_path / "two").exists()


def test_standard_output_must_be_there_and_no_terminal() -> None:
    image = handmade.image(Made([[file("a")]]))
    with pytest.raises(UsageError, match="cannot be a destination here"):
        destination.write(image, destination.parse("tar:-"))

    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    with pytest.raises(UsageError, match="would only garble a terminal"):
        destination.write(image, destination.parse("tar:-"), stdout=Terminal())


@pytest.mark.parametrize(
    ("places", "sentence"),
    [
        (["tar:-", "oci-archive:-"], "only one destination can be standard output"),
        (["oci:a", "tar:b"], "a tar holds one platform, and the image is for 2"),
        (["docker-archive:a"], "a docker-archive holds one platform"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_built(places: list[str], sentence: str) -> None:
    with pytest.raises(PumiceError, match=sentence):
        destination.check(
            [destination.parse(place) for place in places], name="x", version="1", wanted=[AMD64, ARM64]
        )


def test_tags_and_names_are_checked_before_anything_is_built() -> None:
    for place in ("oci:a", "oci-archive:a"):
        with pytest.raises(UsageError, match="cannot be a tag"):
            destination.check([destination.parse(place)], name="x", version="1~rc", wanted=[AMD64])
        destination.check([destination.parse(f"{place}:rc")], name="x", version="1~rc", wanted=[AMD64, ARM64])
    with pytest.raises(UsageError, match="no name for Docker"):
        destination.check([destination.parse("docker-archive:a")], name="X", version="1", wanted=[AMD64])
    destination.check(
        [destination.parse("tar:a"), destination.parse("dir:b")], name="X", version="~", wanted=[AMD64]
    )


def test_errors_are_pumice_errors_with_their_exit_code() -> None:
    assert issubclass(UsageError, PumiceError)
    assert (UsageError.exit_code, ImageError.exit_code) == (2, 10)
