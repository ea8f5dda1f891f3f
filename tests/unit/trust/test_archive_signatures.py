"""Signatures of archives: written beside them, and what counts of what lies there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
import pytest

from pumice.errors import TrustError, UsageError
from pumice.formats import openpgpsig
from pumice.image.model import Image
from pumice.image.transports import layout, layout_archive
from pumice.trust import archive_signatures, image_names, image_verification, openpgp
from pumice.trust.trusted_key import TrustedKey
from tests.support import archive, locations, signed_images

NOW = 1_900_000_000
NAME = signed_images.NAME


@cache
def secret(name: str) -> openpgp.SecretKey:
    path = archive.KEYS / f"{name}.secret.asc"
    return openpgp.SecretKey(path.read_bytes(), path)


def signer(name: str) -> archive_signatures.ArchiveSigner:
    return archive_signatures.ArchiveSigner(
        secret(name).certificate, lambda file, _: secret(name).sign_file(file, bytes)
    )


def trusted(name: str, **more: object) -> TrustedKey:
    return TrustedKey(key=secret(name).certificate, rule="test", **more)  # type: ignore[arg-type]


def checked(
    file: Path, *trust: TrustedKey, expected: str = "", threshold: int = 1
) -> image_verification.VerifiedImage:
    image = layout_archive.read_archive(file)
    return image_verification.verify_image(
        image, None, trust, expected=expected, now=NOW, threshold=threshold
    )


def refused(file: Path, *trust: TrustedKey, **more: object) -> str:
    with pytest.raises(TrustError) as caught:
        checked(file, *trust, **more)  # type: ignore[arg-type]
    return caught.value.message


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "image.tar")


def written(path: Path, image: Image | None = None) -> Path:
    locations.write(image or signed_images.image(), f"oci-archive:{path}", version="1.0")
    return path


def test_a_signature_is_valid_for_the_name_in_the_archive(file: Path) -> None:
    done = archive_signatures.sign_archive(file, signer("good"), now=NOW)
    assert (done.path.name, done.is_new) == ("image.tar.asc", True)
    verdict = checked(file, trusted("good"))
    (one,) = verdict.signatures
    assert (verdict.name, one.claim.form, one.claim.names) == (NAME, "openpgp", (NAME,))
    assert one.claim.created
    assert "not as example.com/bank:1.0" in refused(file, trusted("good"), expected="example.com/bank:1.0")


def test_signing_again_adds_nothing_and_keeps_signatures_by_others(file: Path) -> None:
    def never(file: Path, moment: int | None) -> bytes:
        raise AssertionError("the key was opened")

    archive_signatures.sign_archive(file, signer("other"), now=NOW)
    archive_signatures.sign_archive(file, signer("good"), now=NOW)
    again = archive_signatures.sign_archive(
        file, archive_signatures.ArchiveSigner(secret("good").certificate, never), now=NOW
    )
    assert not again.is_new
    assert len(checked(file, trusted("good"), trusted("other"), threshold=2).signatures) == 2


def test_signatures_of_an_older_archive_are_removed(file: Path) -> None:
    archive_signatures.sign_archive(file, signer("other"), now=NOW)
    archive_signatures.sign_archive(file, signer("good"), now=NOW)
    written(file, signed_images.image(content=b"new"))
    assert "is not what" in refused(file, trusted("good"))
    assert archive_signatures.sign_archive(file, signer("good"), now=NOW).is_new
    assert len(list(openpgpsig.read_signatures(archive_signatures.signature_path(file).read_bytes()))) == 1
    checked(file, trusted("good"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"expires": 1_000_000_000}, "expired on 2001-09-09"),
        ({"revocation": "stolen"}, "is revoked (stolen)"),
    ],
)
def test_rules_apply_to_openpgp_keys(file: Path, more: dict[str, object], message: str) -> None:
    archive_signatures.sign_archive(file, signer("good"), now=NOW)
    assert message in refused(file, trusted("good", **more))


def test_a_key_counts_once_however_often_it_signed(file: Path) -> None:
    first, second = (secret("good").sign_file(file, bytes) for _ in range(2))
    archive_signatures.signature_path(file).write_bytes(openpgpsig.encode_armor([first, second]))
    assert "by 1 of 2 required keys" in refused(file, trusted("good"), threshold=2)


def test_both_kinds_together_make_a_threshold(tmp_path: Path) -> None:
    place = signed_images.folder(tmp_path / "image")
    signed_images.sign_folder(place, 0)
    file = written(tmp_path / "image.tar", layout.read_layout(place))
    archive_signatures.sign_archive(file, signer("good"), now=NOW)
    assert len(checked(file, trusted("good"), signed_images.trusted(), threshold=2).signatures) == 3


def test_an_archive_that_changes_during_verification_is_refused(file: Path) -> None:
    """The signature is that of the file that lies there now, the image that of another."""
    bad = file.with_name("bad.tar")
    written(bad, signed_images.image(content=b"bad"))
    archive_signatures.sign_archive(file, signer("good"), now=NOW)
    good = file.read_bytes()
    file.write_bytes(bad.read_bytes())
    image = layout_archive.read_archive(file)
    assert image_names.declared_name(image) == NAME  # it is read
    file.write_bytes(good)
    with pytest.raises(TrustError, match="changed while its signatures were checked"):
        image_verification.verify_image(image, None, [trusted("good")], expected="", now=NOW)


def test_a_signature_file_with_another_name_is_read(file: Path, tmp_path: Path) -> None:
    archive_signatures.sign_archive(file, signer("good"), now=NOW)
    moved = archive_signatures.signature_path(file).rename(tmp_path / "elsewhere.asc")
    image = layout_archive.read_archive(file)
    assert image.archive
    assert "not signed" in refused(file, trusted("good"))
    for path, message in ((moved, ""), (tmp_path / "nothing", "no such signature file")):
        named = image.inside(msgspec.structs.replace(image.archive, signature=path))
        try:
            image_verification.verify_image(named, None, [trusted("good")], expected="", now=NOW)
        except TrustError as error:
            assert error.message == message
        else:
            assert not message


def test_the_number_of_checked_signatures_is_limited(file: Path) -> None:
    old = secret("good").sign_file(file, bytes)
    written(file, signed_images.image(content=b"new"))
    archive_signatures.signature_path(file).write_bytes(old * 100)
    assert "more than 32 signatures name a trusted key as issuer" in refused(file, trusted("good"))


def test_an_image_without_a_name_is_not_signed(tmp_path: Path) -> None:
    image = layout_archive.read_archive(written(tmp_path / "image.tar", signed_images.image("")))
    with pytest.raises(UsageError, match="declares no name"):
        archive_signatures.check_archive_name(image, "")
    named = layout_archive.read_archive(written(tmp_path / "named.tar"))
    assert archive_signatures.check_archive_name(named, "example.com/hello") == NAME
    with pytest.raises(UsageError, match="cannot sign an archive"):
        archive_signatures.check_archive_name(named, "example.com/bank:1.0")
