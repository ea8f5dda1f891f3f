"""Signatures of archives: files next to them, and which of these files are accepted."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

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


def trusted(name: str, **fields: Any) -> TrustedKey:
    return TrustedKey(key=secret(name).certificate, rule="test", **fields)


def checked(
    file: Path, *trust: TrustedKey, expected: str = "", threshold: int = 1
) -> image_verification.VerifiedImage:
    image = layout_archive.read_archive(file)
    return image_verification.verify_image(
        image, None, trust, expected=expected, now=NOW, threshold=threshold
    )


def refused(file: Path, *trust: TrustedKey, **options: Any) -> str:
    with pytest.raises(TrustError) as caught:
        checked(file, *trust, **options)
    return caught.value.message


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "image.tar")


def write_archive(path: Path, image: Image | None = None) -> Path:
    locations.write(image or signed_images.image(), f"oci-archive:{path}", version="1.0")
    return path


def test_a_signature_is_valid_for_the_name_in_the_archive(file: Path) -> None:
    signing = archive_signatures.sign_archive(file, signer("good"), now=NOW)
    assert (signing.path.name, signing.is_new) == ("image.tar.asc", True)
    verdict = checked(file, trusted("good"))
    (signature,) = verdict.signatures
    assert (verdict.name, signature.claim.form, signature.claim.names) == (NAME, "openpgp", (NAME,))
    assert signature.claim.created
    assert "not as example.com/bank:1.0" in refused(file, trusted("good"), expected="example.com/bank:1.0")


def test_signing_again_adds_nothing_and_keeps_signatures_by_others(file: Path) -> None:
    def never(file: Path, moment: int | None) -> bytes:
        raise AssertionError("the key was opened")

    archive_signatures.sign_archive(file, signer("other"), now=NOW)
    archive_signatures.sign_archive(file, signer("good"), now=NOW)
    second_signing = archive_signatures.sign_archive(
        file, archive_signatures.ArchiveSigner(secret("good").certificate, never), now=NOW
    )
    assert not second_signing.is_new
    assert len(checked(file, trusted("good"), trusted("other"), threshold=2).signatures) == 2


def test_signatures_of_an_older_archive_are_removed(file: Path) -> None:
    archive_signatures.sign_archive(file, signer("other"), now=NOW)
    archive_signatures.sign_archive(file, signer("good"), now=NOW)
    write_archive(file, signed_images.image(content=b"new"))
    assert "is not what" in refused(file, trusted("good"))
    assert archive_signatures.sign_archive(file, signer("good"), now=NOW).is_new
    assert len(list(openpgpsig.read_signatures(archive_signatures.signature_path(file).read_bytes()))) == 1
    checked(file, trusted("good"))


@pytest.mark.parametrize(
    ("key_options", "message"),
    [
        ({"expires": 1_000_000_000}, "expired on 2001-09-09"),
        ({"revocation": "stolen"}, "is revoked (stolen)"),
    ],
)
def test_rules_apply_to_openpgp_keys(file: Path, key_options: dict[str, object], message: str) -> None:
    archive_signatures.sign_archive(file, signer("good"), now=NOW)
    assert message in refused(file, trusted("good", **key_options))


def test_a_key_counts_once_however_often_it_signed(file: Path) -> None:
    first, second = (secret("good").sign_file(file, bytes) for _ in range(2))
    archive_signatures.signature_path(file).write_bytes(openpgpsig.encode_armor([first, second]))
    assert "by 1 of 2 required keys" in refused(file, trusted("good"), threshold=2)


def test_both_kinds_together_make_a_threshold(tmp_path: Path) -> None:
    layout_folder = signed_images.folder(tmp_path / "image")
    signed_images.sign_folder(layout_folder, 0)
    file = write_archive(tmp_path / "image.tar", layout.read_layout(layout_folder))
    archive_signatures.sign_archive(file, signer("good"), now=NOW)
    assert len(checked(file, trusted("good"), signed_images.trusted(), threshold=2).signatures) == 3


def test_an_archive_that_changes_during_verification_is_refused(file: Path) -> None:
    """The signature is that of the file that lies there now, the image that of another."""
    changed_file = file.with_name("bad.tar")
    write_archive(changed_file, signed_images.image(content=b"bad"))
    archive_signatures.sign_archive(file, signer("good"), now=NOW)
    content = file.read_bytes()
    file.write_bytes(changed_file.read_bytes())
    image = layout_archive.read_archive(file)
    assert image_names.declared_name(image) == NAME  # it is read
    file.write_bytes(content)
    with pytest.raises(TrustError, match="changed while its signatures were checked"):
        image_verification.verify_image(image, None, [trusted("good")], expected="", now=NOW)


def test_a_signature_file_with_another_name_is_read(file: Path, tmp_path: Path) -> None:
    archive_signatures.sign_archive(file, signer("good"), now=NOW)
    moved_signature = archive_signatures.signature_path(file).rename(tmp_path / "elsewhere.asc")
    image = layout_archive.read_archive(file)
    assert image.archive
    assert "not signed" in refused(file, trusted("good"))
    for path, message in ((moved_signature, ""), (tmp_path / "nothing", "no such signature file")):
        archive_image = image.inside(msgspec.structs.replace(image.archive, signature=path))
        try:
            image_verification.verify_image(archive_image, None, [trusted("good")], expected="", now=NOW)
        except TrustError as error:
            assert error.message == message
        else:
            assert not message


def test_the_number_of_checked_signatures_is_limited(file: Path) -> None:
    old = secret("good").sign_file(file, bytes)
    write_archive(file, signed_images.image(content=b"new"))
    archive_signatures.signature_path(file).write_bytes(old * 100)
    assert "more than 32 signatures name a trusted key as issuer" in refused(file, trusted("good"))


def test_an_image_without_a_name_is_not_signed(tmp_path: Path) -> None:
    image = layout_archive.read_archive(write_archive(tmp_path / "image.tar", signed_images.image("")))
    with pytest.raises(UsageError, match="declares no name"):
        archive_signatures.check_archive_name(image, "")
    named_image = layout_archive.read_archive(write_archive(tmp_path / "named.tar"))
    assert archive_signatures.check_archive_name(named_image, "example.com/hello") == NAME
    with pytest.raises(UsageError, match="cannot sign an archive"):
        archive_signatures.check_archive_name(named_image, "example.com/bank:1.0")
