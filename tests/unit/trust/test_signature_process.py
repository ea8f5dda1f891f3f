"""Signatures that another process verifies."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pumice.formats import openpgpsig
from pumice.trust import openpgp
from pumice.trust.openpgp import Certificate
from pumice.trust.signature_process import VerificationTask, verify_stream

CONTENT = b"content" * 100_000


class Signed:
    """Content with a signature, and the certificates of its key and of another."""

    def __init__(self, folder: Path) -> None:
        path = folder / "content"
        path.write_bytes(CONTENT)
        key = openpgp.generate_key("Ada <ada@example.com>")
        self.certificate = key.certificate
        self.other = openpgp.generate_key("Eve <eve@example.com>").certificate
        (signature,) = openpgpsig.read_signatures(key.sign_file(path, lambda: b""))
        self.now = signature.created + 60
        self.signature = signature

    def task(self, *certificates: Certificate) -> VerificationTask:
        ders = tuple(each.der for each in certificates)
        return VerificationTask(self.signature.data, self.signature.issuer, ders, self.now)


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return Signed(tmp_path)


def chunks(content: bytes = CONTENT) -> list[bytes]:
    return [content[start : start + 99_999] for start in range(0, len(content), 99_999)]


def test_the_fingerprint_of_the_signer_is_returned(signed: Signed) -> None:
    task = signed.task(signed.other, signed.certificate)
    assert verify_stream(task, chunks()) == signed.certificate.fingerprint


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"x", CONTENT.upper()])
def test_other_content_is_not_signed(signed: Signed, content: bytes) -> None:
    assert verify_stream(signed.task(signed.certificate), chunks(content)) == ""


def test_a_key_that_is_not_trusted_does_not_count(signed: Signed) -> None:
    assert verify_stream(signed.task(signed.other), chunks()) == ""


def test_a_signature_that_is_spoiled_is_not_valid(signed: Signed) -> None:
    task = signed.task(signed.certificate)
    for data in (b"", task.signature[:-1], bytes(len(task.signature))):
        assert verify_stream(msgspec.structs.replace(task, signature=data), chunks()) == ""


def test_content_that_cannot_be_read_ends_the_process(signed: Signed) -> None:
    def broken() -> list[bytes]:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        verify_stream(signed.task(signed.certificate), (chunk for _ in "x" for chunk in broken()))
