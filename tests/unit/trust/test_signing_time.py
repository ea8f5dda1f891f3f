"""The time of a signature stands in what is signed, is kept, and orders images of one version."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import TrustError, UsageError
from pumice.formats import intoto, simplesigning
from pumice.image.model import Image
from pumice.image.transports import attachment, layout
from pumice.store.home import Home
from pumice.trust import claims, image_signing, image_verification, rollback, signing_time
from pumice.trust.rollback import AcceptedImage
from pumice.trust.signing_time import SigningTime
from tests.support import signed_images
from tests.support.signed_images import NAME, folder, key, signer, trusted

JULY, AUGUST = 1_719_792_000, 1_722_470_400


@pytest.fixture
def layout_folder(tmp_path: Path) -> Path:
    return folder(tmp_path / "image")


def signed(path: Path, number: int = 0, *, name: str = "", **time: Any) -> Image:
    image = layout.read_layout(path)
    when = SigningTime(**time)
    image_signing.sign_image(
        image, attachment.LayoutAttachment(path, image), None, signer(number), name=name, time=when
    )
    return layout.read_layout(path)


def times(image: Image) -> set[tuple[str, int]]:
    return {(claim.form, claim.created) for claim in claims.read_claims(image, None)}


def when(image: Image, *trust: int, threshold: int = 1) -> int:
    keys = [trusted(number) for number in trust or (0,)]
    return image_verification.verify_image(
        image, None, keys, expected=NAME, now=0, threshold=threshold
    ).signed_at


def test_both_formats_have_the_signing_time(layout_folder: Path) -> None:
    image = signed(layout_folder, now=JULY)
    assert times(image) == {("cosign", JULY), ("bundle", JULY)}
    assert when(image) == JULY


def test_signing_again_keeps_the_time(layout_folder: Path) -> None:
    signed(layout_folder, now=JULY)
    assert times(signed(layout_folder, now=AUGUST)) == {("cosign", JULY), ("bundle", JULY)}
    assert {time for _, time in times(signed(layout_folder, now=AUGUST, name="example.com/other:1.0"))} == {
        JULY
    }


def test_a_required_time_replaces_the_existing_one(layout_folder: Path) -> None:
    signed(layout_folder, now=JULY)
    assert times(signed(layout_folder, required=AUGUST)) == {("cosign", AUGUST), ("bundle", AUGUST)}
    assert len(list(claims.read_attached_manifests(layout.read_layout(layout_folder), None))) == 2


def test_a_signature_of_the_same_bytes_by_another_key_is_kept(layout_folder: Path) -> None:
    signed(layout_folder, 0, now=JULY)
    signed(layout_folder, 1, now=JULY)
    image = signed(layout_folder, 0, required=AUGUST)
    assert times(image) == {(form, time) for form in ("cosign", "bundle") for time in (JULY, AUGUST)}
    assert (when(image, 0), when(image, 1)) == (AUGUST, JULY)


def test_a_new_key_keeps_the_time_of_a_trusted_key(layout_folder: Path) -> None:
    signed(layout_folder, 0, now=JULY)
    image = signed(layout_folder, 1, now=AUGUST, trusted_keys=lambda _: [key(0).public_key])
    assert when(image, 1) == JULY


def test_the_time_of_an_untrusted_key_is_not_kept(layout_folder: Path) -> None:
    signed(layout_folder, 1, now=AUGUST * 2)
    assert when(signed(layout_folder, 0, now=AUGUST)) == AUGUST


def test_signatures_without_a_time_stay_without_a_time(layout_folder: Path) -> None:
    signed(layout_folder)
    assert when(signed(layout_folder, 1, now=AUGUST, trusted_keys=lambda _: [key(0).public_key]), 1) == 0


def test_an_unsigned_annotation_does_not_set_the_time(layout_folder: Path) -> None:
    image = signed(layout_folder)
    name = "org.opencontainers.image.created"
    for attached in claims.read_attached_manifests(image, None):
        assert not {name, intoto.TIMESTAMP} & attached.manifest.annotations.keys()
    assert when(image) == 0


def test_platforms_are_signed_at_the_time_of_their_index(tmp_path: Path) -> None:
    from tests.support import handmade
    from tests.support.handmade import AMD64, ARM64, ImageContents, file

    unsigned_index = handmade.index(
        {AMD64: ImageContents([[file("a")]]), ARM64: ImageContents([[file("b")]])}
    )
    image = signed(folder(tmp_path / "image", unsigned_index), name=NAME, now=JULY)
    for signed_image in (image, *(image.at(descriptor) for descriptor, _ in image.members())):
        assert times(signed_image) == {("cosign", JULY), ("bundle", JULY)}


def test_one_of_two_required_signers_cannot_make_an_image_newer(layout_folder: Path) -> None:
    signed(layout_folder, 0, now=JULY)
    image = signed(layout_folder, 1, now=AUGUST)
    assert when(image, 0, 1, threshold=2) == JULY
    assert when(image, 0, 1) == AUGUST


@pytest.mark.parametrize("value", ["1", True, 1.5, -1, 0, 10**15, None, {}, []])
def test_an_invalid_time_is_ignored(value: object) -> None:
    import json

    image = "sha256:" + "0" * 64
    document = json.loads(simplesigning.encode_payload(simplesigning.Payload(NAME, image)))
    document["optional"] = {"timestamp": value}
    assert simplesigning.read_payload(json.dumps(document).encode()).timestamp == 0
    statement = json.loads(
        intoto.encode_statement(
            intoto.Statement((intoto.Subject(NAME, image, JULY),), "https://x.example", b"{}")
        )
    )
    assert intoto.read_statement(json.dumps(statement).encode()).subjects[0].timestamp == JULY
    statement["subject"][0]["annotations"][intoto.TIMESTAMP] = value
    assert intoto.read_statement(json.dumps(statement).encode()).subjects[0].timestamp == 0


@pytest.mark.parametrize(
    ("option", "epoch", "expected"),
    [
        (None, "", 0),
        (None, "7", 7),
        (None, "0", 1),
        ("8", "7", 8),
        ("now", "7", AUGUST),
        ("2024-07-01T00:00:00Z", "", JULY),
        ("2024-07-01", "", JULY),
    ],
)
def test_the_required_time_comes_from_the_option_or_the_environment(
    option: str | None, epoch: str, expected: int
) -> None:
    assert signing_time.parse_required_time(option, {"SOURCE_DATE_EPOCH": epoch}, AUGUST) == expected


@pytest.mark.parametrize("text", ["", "soon", "-1", "9" * 12, "99999-01-01"])
def test_invalid_times_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid time"):
        signing_time.parse_required_time(text, {}, AUGUST)


def image_of(signed: int, created: int = 0, content: str = "a", version: str = "1.0") -> AcceptedImage:
    return AcceptedImage("example.com/app", version, created, f"sha256:{content}", "", signed)


def refuses(home: Home, accepted_before: AcceptedImage, new_image: AcceptedImage) -> bool:
    rollback.record_accepted(accepted_before, home)
    try:
        rollback.record_accepted(new_image, home)
    except TrustError:
        return True
    return False


@pytest.mark.parametrize(
    ("accepted_image", "new_image", "refused"),
    [
        (image_of(JULY), image_of(AUGUST, content="b"), False),
        (image_of(AUGUST), image_of(JULY, content="b"), True),
        (image_of(AUGUST, 7), image_of(JULY, 7, content="b"), True),  # two builds of one lock
        (image_of(JULY), image_of(0, content="b"), True),  # undated after dated
        (image_of(JULY, 1), image_of(0, 2, content="b"), True),
        (image_of(0, 1), image_of(JULY, 1, content="b"), False),
        (image_of(0, 2), image_of(JULY, 1, content="b"), True),
        (image_of(0, 2), image_of(0, 0, content="b"), True),
        (image_of(0, 2), image_of(0, 1, content="b"), True),
        (image_of(0, AUGUST), image_of(JULY, 0, content="b"), True),
        (image_of(JULY, 2), image_of(JULY, 1, content="b"), True),
        (image_of(AUGUST, version="1.0"), image_of(JULY, content="b", version="1.1"), False),
        (image_of(AUGUST, version="latest"), image_of(JULY, content="b", version="latest"), True),
        (image_of(AUGUST), image_of(JULY), False),  # the same image
    ],
)
def test_images_of_one_version_are_ordered_by_time(
    tmp_path: Path, accepted_image: AcceptedImage, new_image: AcceptedImage, refused: bool
) -> None:
    assert refuses(Home(tmp_path), accepted_image, new_image) is refused


def test_removing_a_dated_signature_keeps_the_recorded_time(tmp_path: Path) -> None:
    home = Home(tmp_path)
    rollback.record_accepted(image_of(AUGUST), home)
    rollback.record_accepted(image_of(0), home)
    with pytest.raises(TrustError, match="signed on 2024-07-01"):
        rollback.record_accepted(image_of(JULY, content="b"), home)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=4))
def test_a_replaced_image_is_never_accepted_again(
    tmp_path_factory: pytest.TempPathFactory, dates: list[tuple[int, int]]
) -> None:
    home = Home(tmp_path_factory.mktemp("home"))
    images = [image_of(signed, created, str(number)) for number, (signed, created) in enumerate(dates)]
    accepted_images: list[AcceptedImage] = []
    for candidate in images:
        try:
            rollback.record_accepted(candidate, home)
        except TrustError:
            continue
        accepted_images.append(candidate)
    for older, newer in itertools.pairwise(accepted_images):
        if older.signed < newer.signed or (older.signed == newer.signed and older.created < newer.created):
            with pytest.raises(TrustError):
                rollback.record_accepted(older, home)


def test_two_builds_of_one_version_are_ordered_when_they_are_verified(tmp_path: Path) -> None:
    from pumice.trust import admission

    home = Home(tmp_path / "home")
    old = signed(folder(tmp_path / "old", signed_images.image(content=b"old")), now=JULY)
    new = signed(folder(tmp_path / "new", signed_images.image(content=b"new")), now=AUGUST)
    request = admission.AdmissionRequest(name=NAME, keys=(trusted(),))
    for image in (old, new):
        admission.record_decision(admission.decide(image, "verify", home, request, (), now=0), home)
    with pytest.raises(TrustError, match="it was signed on 2024-07-01"):
        admission.decide(old, "verify", home, request, (), now=0)
